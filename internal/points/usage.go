package points

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"time"

	"example.com/snapd/internal/changes"
)

// Usage is the size of the change logs in bytes, by the age of the newest capture of each segment.
type Usage struct {
	Hour, Day, Week, Older int64 // up to an hour, a day, a week old, and older than that
}

// Use returns the sizes of the change logs in a backup directory, by the names of their files.
func Use(backups string, now time.Time) (u Usage, err error) {
	numbers, err := timelines(backups)
	if err != nil {
		return u, err
	}
	for _, timeline := range numbers {
		entries, err := os.ReadDir(Directory(backups, timeline))
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return u, fmt.Errorf("read the change log of timeline %d: %w", timeline, err)
		}
		for _, e := range entries {
			fi, err := e.Info()
			if errors.Is(err, fs.ErrNotExist) || err == nil && !fi.Mode().IsRegular() {
				continue // sealed or thinned meanwhile
			}
			if err != nil {
				return u, fmt.Errorf("read the change log of timeline %d: %w", timeline, err)
			}
			u.add(fi.Size(), now.Sub(segmentTime(e.Name(), fi.ModTime())))
		}
	}
	return u, nil
}

func (u *Usage) add(bytes int64, age time.Duration) {
	switch {
	case age <= time.Hour:
		u.Hour += bytes
	case age <= 24*time.Hour:
		u.Day += bytes
	case age <= 7*24*time.Hour:
		u.Week += bytes
	default:
		u.Older += bytes
	}
}

// segmentTime is the time in the name of a sealed segment; written where it has none.
func segmentTime(name string, written time.Time) time.Time {
	if s, ok := changes.ParseSealed(name); ok {
		return s.At
	}
	return written
}
