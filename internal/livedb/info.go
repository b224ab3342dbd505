package livedb

import (
	"context"
	"encoding/binary"
	"fmt"

	"example.com/snapd/internal/sqlite"
)

// Info says what an image is. An empty (zero byte) database has page size and
// page count 0.
type Info struct {
	PageSize      int    // bytes, 512 … 65536, a power of two
	PageCount     int64  // pages in the image
	JournalMode   string // "wal", or "delete" for all rollback-journal modes: the file does not tell them apart
	Encoding      string // "UTF-8", "UTF-16le", "UTF-16be"
	AutoVacuum    string // "none", "full", "incremental"
	UserVersion   int64  // PRAGMA user_version
	ApplicationID int64  // PRAGMA application_id
	SchemaVersion int64  // the schema cookie, PRAGMA schema_version
	SQLiteVersion string // of the engine that read it
}

// Bytes is the size of the image.
func (i Info) Bytes() int64 { return int64(i.PageSize) * i.PageCount }

// Offsets into page 1 (https://www.sqlite.org/fileformat2.html#the_database_header);
// all numbers there are big-endian.
const (
	hdrWriteFormat = 18 // 1 rollback journal, 2 WAL; the read version follows
	hdrCookie      = 40
	hdrAutoVacuum  = 52 // largest root page; nonzero with auto_vacuum
	hdrEncoding    = 56
	hdrUserVersion = 60
	hdrIncremental = 64
	hdrAppID       = 68
)

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
	if len(page1) < headerSize {
		return info, nil, fmt.Errorf("page 1 has %d bytes", len(page1))
	}
	info.PageSize = len(page1)
	if info.PageCount, err = c.Int(ctx, "PRAGMA page_count"); err != nil {
		return info, nil, err
	}
	number := func(off int) int64 { return int64(int32(binary.BigEndian.Uint32(page1[off:]))) }
	if page1[hdrWriteFormat] == 2 {
		info.JournalMode = "wal"
	}
	switch number(hdrEncoding) {
	case 2:
		info.Encoding = "UTF-16le"
	case 3:
		info.Encoding = "UTF-16be"
	}
	if number(hdrAutoVacuum) != 0 {
		info.AutoVacuum = "full"
		if number(hdrIncremental) != 0 {
			info.AutoVacuum = "incremental"
		}
	}
	info.UserVersion, info.ApplicationID, info.SchemaVersion = number(hdrUserVersion), number(hdrAppID), number(hdrCookie)
	return info, page1, nil
}
