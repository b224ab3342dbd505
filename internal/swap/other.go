package swap

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"example.com/snapd/internal/livedb"
	"example.com/snapd/internal/message"
)

// ErrUnsafe: a file that may be needed, or that SQLite would change, is at the path.
var ErrUnsafe = errors.New("refused for safety")

// AcceptOther refuses, with ErrUnsafe, to write a database to the path target where that
// might be needed: it is database or a part of it, it is in the directory dir of the backups ("" for none), it
// exists and overwrite is not set, or it is next to sidecars that SQLite would replay onto it.
func AcceptOther(database, dir, target string, overwrite bool) error {
	refuse := func(why, advice string) error {
		return message.WithHint(fmt.Errorf("%w: %s", ErrUnsafe, why), advice)
	}
	if target == database {
		return refuse("that is the database itself", "choose another path; restore without --to puts a backup in its place")
	}
	if isSidecar(database, target) {
		return refuse("SQLite would take it for a part of the database", "choose another path")
	}
	if dir == "" {
		// there is none
	} else if dir, err := livedb.Resolve(dir); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	} else if err == nil && strings.HasPrefix(target, strings.TrimSuffix(dir, string(filepath.Separator))+string(filepath.Separator)) {
		return refuse("the backup directory is for backups only", "choose another directory")
	}
	st, err := os.Stat(target)
	switch {
	case err == nil && !st.Mode().IsRegular():
		return refuse("it exists and is no regular file", "name a file that does not exist yet")
	case err == nil && !overwrite:
		return refuse("the file exists", "name a file that does not exist")
	case err != nil && !errors.Is(err, fs.ErrNotExist):
		return err
	}
	side, err := livedb.Sidecars(target)
	if err != nil {
		return err
	}
	if len(side) > 0 {
		return refuse(side[0]+" would be replayed onto the restored file", "remove or rename it, or choose another path")
	}
	return nil
}
