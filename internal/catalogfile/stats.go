package catalogfile

import (
	"time"

	"example.com/snapd/catalog"
)

// Stats are the figures of the backup directory. Latest is the id of what "latest" means, null where no backup is
// verified; Oldest that of the oldest backup.
type Stats struct {
	Count       int        `json:"count"`
	Automatic   int        `json:"automatic"`
	Manual      int        `json:"manual"`
	TotalSize   int64      `json:"total_size"`    // bytes of the archives
	TotalSizeMB float64    `json:"total_size_mb"` // MiB
	Latest      *string    `json:"latest"`
	LatestTime  *time.Time `json:"latest_time"`
	Oldest      *string    `json:"oldest"`
	OldestTime  *time.Time `json:"oldest_time"`
}

// ReadStats returns the figures of a catalog.
func ReadStats(c *Catalog) (s Stats, err error) {
	all, err := c.All()
	if err != nil {
		return s, err
	}
	state, err := c.State()
	if err != nil {
		return s, err
	}
	if latest, ok := catalog.Latest(all, state); ok {
		s.Latest, s.LatestTime = &latest.ID, &latest.CreatedAt
	}
	var last catalog.Entry
	for e := range all {
		s.Count++
		last = e
		if e.Kind == catalog.Manual {
			s.Manual++
		} else {
			s.Automatic++
		}
		s.TotalSize += e.ArchiveBytes
	}
	s.TotalSizeMB = float64(s.TotalSize*100/(1<<20)) / 100
	if s.Count > 0 {
		s.Oldest, s.OldestTime = &last.ID, &last.CreatedAt
	}
	return s, nil
}
