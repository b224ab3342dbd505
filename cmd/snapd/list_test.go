package main

import (
	"bytes"
	"testing"
	"time"

	"example.com/snapd/snapshot"
)

// Lost: scripts that read what list and verify print, when the quick way of printing
// backups is another than that of all other results.
func TestBackupsArePrintedLikeAnyResult(t *testing.T) {
	b := snapshot.Backup{ID: "data_backup_MANUAL_20251031_120000", Note: `<"é">`, CreatedAt: time.Date(2025, 10, 31, 12, 0, 0, 0, time.UTC)}
	for _, list := range [][]snapshot.Backup{nil, {}, {b}, {b, {}, b}} {
		var got, want bytes.Buffer
		if err := (backupsDocument{list}).printJSON(&got); err != nil {
			t.Fatal(err)
		}
		type plain backupsDocument
		if err := encodeIndented(&want, plain{list}); err != nil {
			t.Fatal(err)
		}
		if got.String() != want.String() {
			t.Errorf("printed\n%s\nwant\n%s", got.Bytes(), want.Bytes())
		}
	}
}
