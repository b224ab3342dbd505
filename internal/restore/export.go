package restore

import (
	"context"
	"fmt"
	"io"
	"path/filepath"
	"strings"
	"time"

	"example.com/snapd/internal/failure"
	"example.com/snapd/internal/inspect"
	"example.com/snapd/internal/message"
)

// ExportOptions of an export.
type ExportOptions struct {
	// To is the new file, which has its name once it is whole. Where it is "", SQL and CSV go to Writer.
	To     string
	Writer io.Writer
	// Format is inferred from the end of To where it is "": .db or .sqlite, .sql, .csv.
	Format inspect.Format
	// Table is the one table to export. CSV needs it, a database cannot have it.
	Table string
	// Overwrite lets To replace an existing file.
	Overwrite bool
	// Progress is called with how much of the image was read.
	Progress func(done, total int64)
}

// Exported says what an export wrote.
type Exported struct {
	ID         string         `json:"exported"`
	To         string         `json:"to"` // "" for the Writer
	Format     inspect.Format `json:"format"`
	Tables     *int           `json:"tables"` // null for a database
	Rows       *int64         `json:"rows"`
	DurationMS int64          `json:"duration_ms"`
}

// Resolve checks the options, and finds the format.
func (o ExportOptions) Resolve() (ExportOptions, error) {
	refuse := func(why, advice string) (ExportOptions, error) {
		return o, message.WithHint(fmt.Errorf("export: %w: %s", failure.ErrRefused, why), advice)
	}
	if o.Format == "" {
		switch strings.ToLower(filepath.Ext(o.To)) {
		case ".db", ".sqlite", ".sqlite3", ".db3":
			o.Format = inspect.Database
		case ".sql":
			o.Format = inspect.SQL
		case ".csv":
			o.Format = inspect.CSV
		default:
			return refuse("the format is not known", "choose a file name that ends in .db, .sql or .csv, or name the format")
		}
	}
	switch {
	case o.Format == inspect.CSV && o.Table == "":
		return refuse("CSV is for one table", "name it; tables shows their names")
	case o.Format == inspect.Database && o.Table != "":
		return refuse("a database is exported whole", "single tables can be exported as .sql or .csv")
	case o.Format == inspect.Database && o.To == "":
		return refuse("a database needs a file", "name one, or choose the format sql or csv")
	}
	return o, nil
}

// Export writes an image, which was resolved from id, as o says: o is resolved. The database itself, and the backup
// directory dir, are refused as its target.
func Export(ctx context.Context, image *inspect.Image, id, database, dir string, o ExportOptions) (Exported, error) {
	began := time.Now()
	done := Exported{ID: id, To: o.To, Format: o.Format}
	write := func(w io.Writer) error {
		if o.Format == inspect.Database {
			return image.CopyTo(ctx, w, o.Progress)
		}
		written, err := image.Export(ctx, w, o.Format, o.Table, o.Progress)
		done.Tables, done.Rows = &written.Tables, &written.Rows
		return err
	}
	var err error
	if o.To != "" {
		err = NewFile(database, dir, o.To, o.Overwrite, write)
	} else {
		err = write(o.Writer)
	}
	if err != nil {
		return Exported{}, err
	}
	done.DurationMS = max(1, time.Since(began).Milliseconds())
	return done, nil
}
