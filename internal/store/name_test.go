package store

import (
	"strings"
	"testing"
)

func TestCheckName(t *testing.T) {
	for name, ok := range map[string]bool{
		"snapd.json": true, "backups/000012_data_backup_AUTO_20251031_120000.db.zst.age": true, "a": true,
		strings.Repeat("a", MaxElement): true, strings.Repeat("a", MaxElement+1): false,
		longName(MaxName): true, longName(MaxName + 1): false, "a.": false, "a./b": false, "a..b": true,
		"": false, "/a": false, "a/": false, "a//b": false, "a/../b": false, ".a": false, "a/.b": false, "a b": false, "a\\b": false, "ä": false, "a\x00": false,
	} {
		if err := CheckName(name); (err == nil) != ok {
			t.Errorf("CheckName(%.40q) = %v, want ok %v", name, err, ok)
		}
	}
}

// longName is a name of n bytes whose elements are not too long.
func longName(n int) string { return strings.Repeat("a/", n/2)[:n-1] + "b" }
