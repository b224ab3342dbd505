package catalogfile

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"example.com/snapd/internal/durable"
)

// rowsExt is the end of the name of the record of rows that were brought back, which is next to the archive of the safety backup.
const rowsExt = ".rows"

func rowsPath(c *Catalog, id string) string { return filepath.Join(c.dir, id+rowsExt) }

// KeepRows has write write the record of what bringing rows back left, next to the backup of the state before. It goes with that.
func KeepRows(c *Catalog, id string, write func(io.Writer) error) (err error) {
	f, err := durable.Create(rowsPath(c, id), 0o600)
	if err != nil {
		return fmt.Errorf("keep a record of the rows: %w", explain(err))
	}
	defer func() { err = errors.Join(err, f.Discard()) }()
	if err = write(f); err == nil {
		err = f.Commit()
	}
	if err != nil {
		return fmt.Errorf("keep a record of the rows: %w", explain(err))
	}
	return nil
}

// Rows opens that record. Errors: ErrNotFound, ErrUnsafe.
func Rows(c *Catalog, id string) (io.ReadCloser, error) {
	if !validID(id) {
		return nil, fmt.Errorf("%w: %q", ErrNotFound, id)
	}
	f, err := openOurs(rowsPath(c, id), os.O_RDONLY)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%w: no rows were brought back when %s was made", ErrNotFound, id)
	}
	if err != nil {
		return nil, explain(err)
	}
	return f, nil
}
