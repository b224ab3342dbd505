//go:build unix

package snapshot_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"example.com/snapd/internal/samplecrm"
	"example.com/snapd/internal/testdb"
	"example.com/snapd/snapshot"
)

// Lost: files that only root may read or write, to a user who exchanges the database, the
// backups or a directory on the way to them, before or while root's process works there.
func TestRootStaysOutOfOthersDirectories(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("NOT TESTED: only root can give files to other users")
	}
	const alice = 4001
	for name, give := range map[string]func(base string) error{
		"the database's directory": func(base string) error { return os.Chown(base, alice, alice) },
		"the backup directory":     func(base string) error { return os.Chown(filepath.Join(base, "backups"), alice, alice) },
		"a link to the backups": func(base string) error {
			link := filepath.Join(base, "backups")
			return errors.Join(os.Rename(link, filepath.Join(base, "real")), os.Symlink("real", link), os.Lchown(link, alice, alice))
		},
		"a link to the database": func(base string) error {
			link := filepath.Join(base, "data.db")
			real := filepath.Join(base, "real", "data.db")
			return errors.Join(os.Mkdir(filepath.Dir(real), 0o755), os.Rename(link, real), os.Symlink(real, link), os.Lchown(link, alice, alice))
		},
		"a directory of a group": func(base string) error { return errors.Join(os.Chown(base, 0, 5000), os.Chmod(base, 0o770)) },
		"a directory of all":     func(base string) error { return os.Chmod(base, 0o777) },
	} {
		base := t.TempDir()
		config := snapshot.Config{Database: filepath.Join(base, "data.db")}
		testdb.MakeCRM(t, config.Database, samplecrm.Options{})
		m, err := snapshot.Open(t.Context(), config)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := m.Backup(t.Context(), snapshot.Manual("")); err != nil {
			t.Fatal(err)
		}
		if err := give(base); err != nil {
			t.Fatal(err)
		}
		if _, err := snapshot.Open(t.Context(), config); !errors.Is(err, snapshot.ErrRefused) || !strings.Contains(snapshot.Hint(err), "run it as the user") {
			t.Errorf("%s is alice's: %v", name, err)
		}
		config.AnyOwner = true
		if _, err := snapshot.Open(t.Context(), config); err != nil && !strings.Contains(err.Error(), "symbolic link that belongs") {
			t.Errorf("%s is alice's, and she is trusted: %v", name, err)
		}
	}
}
