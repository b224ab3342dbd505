package store

import (
	"strings"
	"testing"
)

func TestCheckName(t *testing.T) {
	for name, ok := range map[string]bool{
		"snapd.json": true, "backups/000012_data_backup_AUTO_20251031_120000.db.zst.age": true, "a": true,
		strings.Repeat("a", MaxName): true, strings.Repeat("a", MaxName+1): false,
		"": false, "/a": false, "a/": false, "a//b": false, "a/../b": false, ".a": false, "a/.b": false, "a b": false, "a\\b": false, "ä": false, "a\x00": false,
	} {
		if err := CheckName(name); (err == nil) != ok {
			t.Errorf("CheckName(%.40q) = %v, want ok %v", name, err, ok)
		}
	}
}
