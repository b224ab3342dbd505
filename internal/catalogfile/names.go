package catalogfile

import (
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"os"
	"path/filepath"
	"strings"
	"time"
	"unicode/utf8"

	"example.com/snapd/catalog"
	"example.com/snapd/internal/archive"
	"example.com/snapd/internal/durable"
)

const (
	catalogName   = "catalog.json"
	lockName      = ".catalog.lock"
	operationLock = ".snapd.lock"
	serveLock     = ".snapd-serve.lock"

	latestID = "latest" // wherever an id is taken: the newest verified backup

	timeLayout = "20060102_150405"

	maxName = 255 // bytes of a file name, on every usual filesystem
	// maxBase leaves room in maxName for "_backup_MANUAL_20251031_120000_9999.db.zst"
	// and for the suffixes of temporary files.
	maxBase = 180
	// maxSuffix bounds the search for a free name within one second.
	maxSuffix = 9999
)

// checkBase refuses database names that cannot begin a file name of ours.
func checkBase(base string) error {
	why := ""
	switch {
	case base == "" || base == "." || base == "..":
		why = "it names no file"
	case strings.ContainsAny(base, "/\\\x00"):
		why = "it holds a path separator or a NUL"
	case !utf8.ValidString(base):
		why = "it is not valid UTF-8"
	case len(base) > maxBase:
		why = fmt.Sprintf("it is longer than %d bytes", maxBase)
	case strings.HasPrefix(base, durable.TempPrefix):
		why = fmt.Sprintf("names that start with %s are swept as leftovers", durable.TempPrefix)
	}
	if why == "" {
		return nil
	}
	return fmt.Errorf("%w: %.80q: %s; rename the database", ErrBase, base, why)
}

// validID reports whether id can be a backup's: the part of a plain file name
// before archive.Ext.
func validID(id string) bool {
	return id != "" && id != "." && id != ".." && id != latestID &&
		len(id)+len(archive.Ext) <= maxName &&
		utf8.ValidString(id) &&
		!strings.ContainsAny(id, "/\\\x00") &&
		!strings.HasPrefix(id, durable.TempPrefix) &&
		!strings.HasSuffix(id, "_latest")
}

func fileOf(id string) string { return id + archive.Ext }

// isFileOf is file == fileOf(id), without making that: it is asked of every entry.
func isFileOf(file, id string) bool {
	stem, ok := strings.CutSuffix(file, archive.Ext)
	return ok && stem == id
}

// linkName is the name of the link to the newest verified backup.
func (c *Catalog) linkName() string { return c.base + "_latest" + archive.Ext }

// Path returns the path of e's archive.
func (c *Catalog) Path(e catalog.Entry) string { return filepath.Join(c.dir, e.File) }

// NewFile returns an id, and the archive path for it, that neither the catalog
// nor the directory holds. at is when the backup was begun. Nothing is
// reserved: the caller creates the file without overwriting.
func (c *Catalog) NewFile(kind catalog.Kind, at time.Time) (id, path string, err error) {
	doc, err := c.view()
	if err != nil {
		return "", "", fmt.Errorf("name a backup: %w", err)
	}
	if at = at.UTC(); at.Year() < 0 || at.Year() > 9999 {
		return "", "", fmt.Errorf("name a backup: the clock says year %d; set it right", at.Year())
	}
	stem := fmt.Sprintf("%s_backup_%s_%s", c.base, strings.ToUpper(string(kind)), at.Format(timeLayout))
	for id := range numbered(stem) {
		if doc.find(id) >= 0 {
			continue
		}
		path := filepath.Join(c.dir, fileOf(id))
		_, err := os.Lstat(path)
		if errors.Is(err, fs.ErrNotExist) {
			return id, path, nil
		}
		if err != nil {
			return "", "", fmt.Errorf("name a backup: %w", err)
		}
	}
	return "", "", fmt.Errorf("name a backup: %d of them began in the second %s already", maxSuffix, at.Format(time.RFC3339))
}

// numbered gives stem, stem_2, stem_3 and so on, up to maxSuffix.
func numbered(stem string) iter.Seq[string] {
	return func(yield func(string) bool) {
		for n := 1; n <= maxSuffix; n++ {
			name := stem
			if n > 1 {
				name = fmt.Sprintf("%s_%d", stem, n)
			}
			if !yield(name) {
				return
			}
		}
	}
}

// freeName returns the first of the numbered names that the directory does not hold.
func (c *Catalog) freeName(stem string) (string, error) {
	for name := range numbered(stem) {
		if _, err := os.Lstat(filepath.Join(c.dir, name)); errors.Is(err, fs.ErrNotExist) {
			return name, nil
		} else if err != nil {
			return "", err
		}
	}
	return "", fmt.Errorf("too many files %s_N: remove some", stem)
}
