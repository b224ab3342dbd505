package livedb

import (
	"context"
	"fmt"

	"example.com/snapd/internal/sqlite"
	"example.com/snapd/internal/sqlitefile"
)

// Info says what an image is. An empty (zero byte) database has page size and
// page count 0.
type Info struct {
	PageSize      int    // bytes, 512 … 65536, a power of two
	Reserved      int    // bytes of each page that SQLite leaves alone
	PageCount     int64  // pages in the image
	JournalMode   string // "wal", or "delete" for all rollback-journal modes: in the file they are the same
	Encoding      string // "UTF-8", "UTF-16le", "UTF-16be"
	AutoVacuum    string // "none", "full", "incremental"
	UserVersion   int64  // PRAGMA user_version
	ApplicationID int64  // PRAGMA application_id
	SchemaVersion int64  // the schema cookie, PRAGMA schema_version
	SQLiteVersion string // of the engine that read it
}

// Bytes is the size of the image.
func (i Info) Bytes() int64 { return int64(i.PageSize) * i.PageCount }

// readInfo reads page 1 and the page count in the connection's open transaction.
func readInfo(ctx context.Context, c *sqlite.Conn) (Info, []byte, error) {
	info := Info{JournalMode: "delete", Encoding: "UTF-8", AutoVacuum: "none", SQLiteVersion: sqlite.Version()}
	var page1 []byte
	err := c.Each(ctx, "SELECT data FROM sqlite_dbpage WHERE pgno=1", func(s *sqlite.Stmt) error {
		page1 = append(page1, s.Blob(0)...)
		return nil
	})
	if err != nil {
		return info, nil, err
	}
	if len(page1) == 0 {
		return info, nil, nil
	}
	h := sqlitefile.HeaderOf(page1)
	if h == nil {
		return info, nil, fmt.Errorf("page 1 has %d bytes", len(page1))
	}
	info.PageSize, info.Reserved = len(page1), h.Reserved()
	if info.PageCount, err = c.Int(ctx, "PRAGMA page_count"); err != nil {
		return info, nil, err
	}
	if write, _ := h.Versions(); write == sqlitefile.VersionWAL {
		info.JournalMode = "wal"
	}
	if e := h.Encoding(); e.Valid() {
		info.Encoding = e.String()
	}
	if h.LargestRoot() != 0 {
		info.AutoVacuum = "full"
		if h.IncrementalVacuum() {
			info.AutoVacuum = "incremental"
		}
	}
	info.UserVersion, info.ApplicationID = int64(h.UserVersion()), int64(h.ApplicationID())
	info.SchemaVersion = int64(int32(h.SchemaCookie()))
	return info, page1, nil
}
