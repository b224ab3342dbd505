package catalogfile

import (
	"context"
	"errors"
	"io/fs"
	"path/filepath"
	"strconv"

	"example.com/snapd/catalog"
	"example.com/snapd/internal/changes"
)

// newestLog is the newest timeline that has a change log, and the backup that the log builds on. Zero where there is none, or
// no list of them; where the log cannot be read, the base is "".
type newestLog struct {
	timeline uint64
	base     string
}

// newestLogIn looks for it in a backup directory. With an error it returns what is known all the same.
func newestLogIn(ctx context.Context, dir string) (n newestLog, err error) {
	folder := filepath.Join(dir, changes.Folder)
	all, err := changes.Timelines(folder)
	if err != nil || len(all) == 0 {
		return n, err
	}
	n.timeline = all[len(all)-1]
	v, err := changes.Read(ctx, filepath.Join(folder, strconv.FormatUint(n.timeline, 10)))
	switch {
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, changes.ErrDamaged):
		return n, nil // it has no captures, or is for a person to look at
	case err != nil:
		return n, err
	}
	n.base = v.Head().Base
	return n, v.Close()
}

// resume puts the database on the timeline of the newest log where no archive knows that one and the state is lost: it began
// after the newest archive, with a restore of the backup that the log builds on, as far as is known.
func (n newestLog) resume(s *catalog.State, newestFirst []catalog.Entry) {
	if n.timeline == 0 || n.timeline > maxClaim || s.Timeline != nil || len(newestFirst) == 0 {
		return
	}
	newest, from := catalog.Entry{}, catalog.Entry{}
	for _, e := range newestFirst {
		if e.Adopted {
			continue
		}
		if e.Timeline.Number >= n.timeline {
			return
		}
		if newest.ID == "" {
			newest = e
		}
		if e.ID == n.base {
			from = e
		}
	}
	cause := catalog.Restored
	if from.ID == "" {
		cause = catalog.NewLog
	}
	before := catalog.Present{Timeline: catalog.Timeline{Number: n.timeline - 1, Loss: newest.Timeline.Lost()}}
	s.Begin(before, cause, from, "", newest.CreatedAt)
}
