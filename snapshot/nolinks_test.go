package snapshot_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"example.com/snapd/internal/samplecrm"
	"example.com/snapd/internal/testdb"
	"example.com/snapd/snapshot"
)

func init() { children["no links"] = noLinksChild }

// noLinksChild does what people do with a backup directory. It prints one line for each thing
// that is as it should be. args: database.
func noLinksChild(args []string) error {
	if err := testdb.HandOverCalls(); err != nil {
		return err
	}
	ctx, cfg := context.Background(), snapshot.Config{Database: args[0], Retention: snapshot.Policy{Last: 2}}
	warned := 0
	cfg.OnEvent = func(e snapshot.Event) {
		if strings.Contains(e.Message, "data_latest") {
			warned++
		}
	}
	var kept []string
	for n := range 4 { // as cron does: a process for each
		m, err := snapshot.Open(ctx, cfg)
		if err != nil {
			return err
		}
		if err := touch(args[0], n); err != nil {
			return err
		}
		b, err := m.Backup(ctx, snapshot.Auto(snapshot.TriggerSchedule))
		if err != nil {
			return fmt.Errorf("backup %d: %w", n, err)
		}
		kept = append(kept, b.ID)
	}
	m, err := snapshot.Open(ctx, cfg)
	if err != nil {
		return err
	}
	all, err := m.Backups()
	if err != nil || len(all) != 2 {
		return fmt.Errorf("retention left %d backups, not 2: %w", len(all), err)
	}
	if latest, err := m.Find("latest"); err != nil || latest.ID != kept[3] {
		return fmt.Errorf("latest is %s: %w", latest.ID, err)
	}
	if _, err := m.Verify(ctx, kept[2], snapshot.LevelFull); err != nil {
		return fmt.Errorf("verify: %w", err)
	}
	if _, err := m.Restore(ctx, kept[2], snapshot.RestoreOptions{}); err != nil {
		return fmt.Errorf("restore: %w", err)
	}
	if _, err := m.Restore(ctx, kept[3], snapshot.RestoreOptions{Offline: true}); err != nil {
		return fmt.Errorf("restore offline: %w", err)
	}
	if err := m.Delete(ctx, kept[2:3], false); err != nil {
		return fmt.Errorf("delete: %w", err)
	}
	if _, err := m.Rebuild(ctx); err != nil {
		return fmt.Errorf("rebuild: %w", err)
	}
	if err := os.Truncate(args[0], 3*4096); err != nil {
		return err
	}
	if r, err := m.Recover(ctx); err != nil || r.Action != snapshot.ActionRestored {
		return fmt.Errorf("recover: %+v, %w", r, err)
	}
	if warned != 1 {
		return fmt.Errorf("warned of the link %d times", warned)
	}
	return nil
}

// touch commits something, as the application does.
func touch(path string, n int) error {
	db, err := samplecrm.Open(path, "")
	if err != nil {
		return err
	}
	_, err = db.Exec("UPDATE accounts SET name = ? WHERE id = 1", n)
	return errors.Join(err, db.Close())
}

// Lost: every backup, retention and recovery on exFAT, FAT or SMB, which have no links of either
// kind, and, on the first two, no mode of a file either.
func TestFileSystemWithoutLinks(t *testing.T) {
	for _, errno := range []syscall.Errno{syscall.EPERM, syscall.ENOTSUP, syscall.ENOSYS} {
		t.Run(errno.Error(), func(t *testing.T) {
			t.Parallel()
			path := filepath.Join(t.TempDir(), "data.db")
			makeDatabase(t, path, "delete")
			must(t, os.Chmod(path, 0o600)) // every file there has the same mode
			// A directory that was copied from elsewhere has a copy of an old backup in the link's place.
			stale := filepath.Join(filepath.Dir(path), "backups", "data_latest.db.zst")
			must(t, os.Mkdir(filepath.Dir(stale), 0o700))
			writeFile(t, stale, []byte("an old backup"))
			err := testdb.WithFaults(t, filepath.Dir(path), func(c testdb.Call) testdb.Fault {
				switch c.Name {
				case "link", "symlink", "fchmod":
					return testdb.Fault{Errno: errno}
				}
				return testdb.Fault{}
			}, "no links", path).Wait()
			if err != nil {
				t.Error(err)
			}
			if _, err := os.Lstat(stale); !errors.Is(err, os.ErrNotExist) {
				t.Errorf("what is called the latest backup is an old one: %v", err)
			}
		})
	}
}
