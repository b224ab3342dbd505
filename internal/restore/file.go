package restore

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"path/filepath"

	"example.com/snapd/internal/durable"
	"example.com/snapd/internal/livedb"
	"example.com/snapd/internal/swap"
)

// NewFile writes the file at path, which becomes neither the database nor a file of the backup directory dir, "" for
// none of them. It has its name once it is whole and on the disk. An existing file is refused, unless it may be replaced.
func NewFile(database, dir, path string, overwrite bool, write func(io.Writer) error) (err error) {
	target, err := livedb.Resolve(path)
	if err == nil {
		err = swap.AcceptOther(database, dir, target, overwrite)
	}
	if err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	if _, err := durable.SweepFor(filepath.Dir(target), filepath.Base(target)); err != nil { // of one that was killed
		return fmt.Errorf("write %s: %w", path, err)
	}
	f, err := durable.Create(target, 0o600)
	if err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	defer func() { err = errors.Join(err, f.Discard()) }()
	w := bufio.NewWriterSize(f, 1<<20)
	if err := write(w); err != nil {
		return err
	}
	commit := f.CommitNew
	if overwrite {
		commit = f.Commit
	}
	if err = w.Flush(); err == nil {
		err = commit()
	}
	if err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	return nil
}
