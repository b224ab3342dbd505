package recovery

import (
	"os"
	"path/filepath"

	"example.com/snapd/internal/durable"
	"example.com/snapd/internal/livedb"
)

// Room is what a way out needs of a disk. Of a repair that was not tried it is the least.
type Room struct {
	Dir   string `json:"dir"`   // a directory on that disk
	Needs int64  `json:"needs"` // bytes
	Free  *int64 `json:"free"`  // null where the system does not report it
	Fits  bool   `json:"fits"`  // so much is free, as far as is known
}

// disks are where a recovery writes: the new file next to the database, the damaged files to the backups.
type disks struct {
	data, backups string
	free          [2]*int64 // of the two; nil where it is not known
	shared        bool      // they are one: the damaged files are linked where they cannot be copied
	files         int64     // bytes of the damaged files
}

// findDisks looks at the disks of a database and of the backup directory.
func findDisks(database, backups string) (d disks, err error) {
	d.data, d.backups = filepath.Dir(database), backups
	f, err := livedb.FingerprintIfAny(database)
	if err != nil {
		return d, err
	}
	d.files = f.Main.Size + f.WAL.Size + f.Journal.Size
	var on [2]livedb.ID
	for i, dir := range []string{d.data, d.backups} {
		if free, err := durable.FreeSpace(dir); err == nil {
			d.free[i] = &free
		}
		if st, serr := os.Stat(dir); serr == nil {
			on[i], _ = livedb.IdentityOf(dir, st) // two that are not known are one disk
		}
	}
	d.shared = on[0].Dev == on[1].Dev
	return d, nil
}

// needs is the room for a new file, and for a scratch file in the backup directory that goes before the
// damaged files are kept.
func (d disks) needs(file, scratch int64) []Room {
	if d.shared {
		return rooms([]Room{}, d.data, file+scratch, d.free[0])
	}
	return rooms(rooms([]Room{}, d.data, file, d.free[0]), d.backups, max(d.files, scratch), d.free[1])
}

func rooms(all []Room, dir string, needs int64, free *int64) []Room {
	if needs == 0 {
		return all
	}
	return append(all, Room{Dir: dir, Needs: needs, Free: free, Fits: free == nil || needs <= *free})
}

// short is the error for the first disk that has too little room for the way out, nil for none. A recovery may use the
// reserve that a backup leaves.
func (o *Option) short() error {
	for _, r := range o.Room {
		if !r.Fits {
			return &durable.SpaceError{Dir: r.Dir, Need: r.Needs, Free: *r.Free}
		}
	}
	return nil
}
