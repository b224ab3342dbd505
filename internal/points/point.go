package points

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"time"

	"example.com/snapd/catalog"
	"example.com/snapd/internal/changes"
)

// Kind says where a recovery point is.
type Kind string

// The kinds of a point.
const (
	Backup Kind = "backup" // it has an archive of its own
	Change Kind = "change" // in the change log
)

// State is how far a point is proven.
type State string

// The states of a point. Either one proves itself when it is read.
const (
	Sealed   State = "sealed"   // stored durably
	Verified State = "verified" // and compared with the database then: a verified backup, or anchored
	Damaged  State = "damaged"  // a segment that it may need failed its proof
)

// Point is a state of the database that can be restored.
type Point struct {
	// ID is "TIMELINE.SEQ"; of a backup without a place in the change log the backup's.
	ID      string     `json:"id"`
	From    *time.Time `json:"from"` // what it has since the point before was committed after that; null where that is not known
	At      time.Time  `json:"at"`   // when it was the database's state
	Kind    Kind       `json:"kind"`
	Commits int64      `json:"commits"` // since the point before; 0 where they were not counted
	Pages   int64      `json:"pages"`   // of the database
	Bytes   int64      `json:"bytes"`   // of the database
	Backup  *string    `json:"backup"`  // the one with this very state; null for none
	State   State      `json:"state"`

	timeline, seq uint64         // of the capture; 0 for none
	backup        *catalog.Entry // of Backup
	bases         []base         // that it can be read from, the nearest one last
	log           bool           // the change log has it
	pageSize      int
	source        json.RawMessage // of the capture
}

// Timeline is the number of the timeline that the point is on.
func (p Point) Timeline() uint64 { return p.timeline }

// Entry describes the image of the point as a backup's entry does. Where it is not a backup's there is no file, and
// Source is that of the capture.
func (p Point) Entry() catalog.Entry {
	if p.backup != nil {
		return *p.backup
	}
	return catalog.Entry{
		ID: p.ID, Point: p.ID, Kind: catalog.Kind(Change), CreatedAt: p.At, DatabaseBytes: p.Bytes, PageSize: p.pageSize, PageCount: p.Pages,
		Timeline: catalog.Timeline{Number: p.timeline}, Verification: catalog.Verification{State: catalog.Verified},
		Source: p.source,
	}
}

// base is a backup that a log's captures can be read over.
type base struct {
	seq   uint64 // of the last capture that it has
	entry catalog.Entry
}

// Folder is the directory of all change logs in a backup directory, Directory that of one timeline's.
func Folder(backups string) string { return filepath.Join(backups, changes.Folder) }

// Directory is where the change log of a timeline is.
func Directory(backups string, timeline uint64) string {
	return filepath.Join(Folder(backups), strconv.FormatUint(timeline, 10))
}

// Logged reports whether a timeline has a change log, or may have one that cannot be seen.
func Logged(backups string) func(timeline uint64) bool {
	return func(timeline uint64) bool {
		_, err := os.Lstat(Directory(backups, timeline))
		return !errors.Is(err, fs.ErrNotExist)
	}
}

// timelines lists those that have a directory, in order.
func timelines(backups string) (all []uint64, err error) {
	if info, err := os.Stat(Folder(backups)); err == nil && !info.IsDir() {
		return nil, fmt.Errorf("%w: %s is not a directory", changes.ErrDamaged, Folder(backups))
	}
	return changes.Timelines(Folder(backups))
}

// basesOf are the backups that captures of a log can be read over, in order. A point over one that is not verified, as after
// a rebuild of the catalog, proves itself by its sum all the same.
func basesOf(head changes.Head, entries []catalog.Entry) (all []base) {
	for _, e := range entries {
		if !e.Unfailed() || e.PageSize != head.PageSize {
			continue
		}
		if timeline, seq, ok := catalog.ParsePoint(e.Point); ok && timeline == head.Timeline && !e.Adopted {
			all = append(all, base{seq, e})
		}
		if e.ID == head.Base {
			all = append(all, base{0, e})
		}
	}
	slices.SortFunc(all, func(a, b base) int {
		return cmp.Or(cmp.Compare(a.seq, b.seq), cmp.Compare(a.entry.Seq, b.entry.Seq))
	})
	return all
}
