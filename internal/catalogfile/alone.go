package catalogfile

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"

	"example.com/snapd/internal/archive"
	"example.com/snapd/internal/message"
)

// ofBackup is the name of a backup's archive; the first group is the database's.
var ofBackup = regexp.MustCompile(`^(.+)_backup_(?:AUTO|MANUAL)_\d{8}_\d{6}(?:_\d+)?` + regexp.QuoteMeta(archive.Ext) + `$`)

// DatabaseOf returns the path of the database whose backups a directory has, which may have come from elsewhere alone and
// have any name: the path that its catalog names where that directory is there, else one next to dir. There need not be a database.
// Nothing is written. Errors: ErrNotFound where dir has no backups, ErrNoDirectory.
func DatabaseOf(dir string) (string, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return "", fmt.Errorf("find out whose backups these are: %w", err)
	}
	files, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return "", message.WithHint(fmt.Errorf("%w: %s", ErrNoDirectory, dir), "is the path right?")
	}
	if err != nil {
		return "", fmt.Errorf("find out whose backups these are: %w", err)
	}
	base := ""
	for _, f := range files {
		is := ofBackup.FindStringSubmatch(f.Name())
		if is == nil || !f.Type().IsRegular() {
			continue
		}
		if base != "" && is[1] != base {
			return "", message.WithHint(fmt.Errorf("%s has backups of %s and of %s", dir, base, is[1]), "name the database whose backups are meant, with --db")
		}
		base = is[1]
	}
	if base == "" {
		return "", message.WithHint(fmt.Errorf("%s: %w: it has no backups", dir, ErrNotFound), "is it a backup directory?")
	}
	if named := namedOwner(dir); strings.TrimSuffix(filepath.Base(named), filepath.Ext(named)) == base {
		if st, err := os.Stat(filepath.Dir(named)); err == nil && st.IsDir() {
			return named, nil
		}
	}
	return filepath.Join(filepath.Dir(dir), base+".db"), nil
}

// namedOwner is the path of the database that a directory's catalog names, "" where it names none or cannot be read.
func namedOwner(dir string) string {
	text, _, err := (&Catalog{dir: dir}).read()
	if err != nil {
		return ""
	}
	doc, err := decode(text)
	if err != nil || doc.state.Database == "" {
		return ""
	}
	if filepath.IsAbs(doc.state.Database) {
		return doc.state.Database
	}
	return filepath.Join(dir, filepath.FromSlash(doc.state.Database))
}
