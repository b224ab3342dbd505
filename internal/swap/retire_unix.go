//go:build unix

package swap

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"syscall"

	"example.com/snapd/internal/durable"
)

// replaced is the file that a swap takes the name from.
type replaced struct{ f *os.File }

// openReplaced opens it before the rename, for retire. No connection of this
// process has a lock on it that closing a descriptor could drop: all are locked out.
func openReplaced(database string, in *intent) (*replaced, error) {
	if in.Replaced == nil || in.Replaced.Bytes == 0 {
		return &replaced{}, nil
	}
	f, err := durable.OpenRegular(database, os.O_WRONLY, 0)
	if errors.Is(err, fs.ErrPermission) || errors.Is(err, syscall.EROFS) {
		return &replaced{}, nil // then no process of ours writes to it
	}
	if err != nil {
		return nil, fmt.Errorf("open the replaced database: %w", err)
	}
	if now, err := stateOfOpen(f); err != nil || now.ID != in.Replaced.ID { // put there since, by another user
		return nil, errors.Join(ErrChanged, err, f.Close())
	}
	return &replaced{f}, nil
}

// retire makes the file unusable once it has no name left. A straggler waits for our
// lock, and would then, on a file that is no longer the database, make a -wal with the
// new database's name: SQLite now answers that it is no database, and the straggler
// opens the new one.
func (r *replaced) retire() error {
	if r.f == nil {
		return nil
	}
	st, err := r.f.Stat()
	if err != nil {
		return fmt.Errorf("retire the replaced database: %w", err)
	}
	if sys, ok := st.Sys().(*syscall.Stat_t); !ok || sys.Nlink != 0 {
		return nil // it lives on under another name, as the quarantine
	}
	if _, err := r.f.WriteAt([]byte("replaced by a restore; open it again"), 0); err != nil {
		return fmt.Errorf("retire the replaced database: %w", err)
	}
	return nil
}

func (r *replaced) close() {
	if r.f != nil {
		r.f.Close() // what matters was written, or reported
		r.f = nil
	}
}
