package swap

import (
	"errors"
	"fmt"

	"example.com/snapd/internal/livedb"
	"example.com/snapd/internal/trust"
)

// Concerns says what will be in the way when the database's file has to be replaced one
// day, one sentence each: for a service to report while nothing is wrong yet.
func (t *Target) Concerns() (found []string, err error) {
	usage, err := livedb.UsageOf(t.Database)
	if err != nil {
		return nil, err
	}
	if usage.Unknown != "" && !t.AssumeUnused {
		found = append(found, "whether another program has the database open cannot be found out ("+usage.Unknown+
			"): a recovery, or a restore that replaces the file, is refused without --force")
	}
	mounted, err := mountPoint(t.Database)
	if err != nil {
		return found, err
	}
	if mounted {
		found = append(found, "the database is a mount point of its own: SQLite's -wal and -journal are not on what is mounted, so that a crash of the container can cost commits, "+
			"and a restore has to write the file in place; mount the directory instead")
	}
	if more := t.otherNames(); more != "" {
		found = append(found, more)
	}
	a, err := AccessOf(t.Database)
	if errors.Is(err, livedb.ErrMissing) {
		return found, nil
	}
	if err != nil {
		return found, err
	}
	if me := trust.User(); me > 0 && a.UID >= 0 && a.UID != me {
		found = append(found, fmt.Sprintf("the database belongs to user %d, and this program runs as user %d: a restore has to write the file in place, "+
			"and one that is missing comes back as user %d's", a.UID, me, me))
	}
	return found, nil
}
