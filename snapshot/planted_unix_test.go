//go:build unix

package snapshot_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"example.com/snapd/internal/testdb"
	"example.com/snapd/snapshot"
)

// planted are the things that may be in the place of a file of the backup directory.
var planted = map[string]func(path string) error{
	"directory":     func(path string) error { return os.MkdirAll(filepath.Join(path, "inside"), 0o700) },
	"pipe":          func(path string) error { return syscall.Mkfifo(path, 0o600) },
	"dangling link": func(path string) error { return os.Symlink(path+".nothing", path) },
	"unreadable":    func(path string) error { return os.WriteFile(path, []byte("x"), 0) },
	"garbage":       func(path string) error { return os.WriteFile(path, []byte("\x00\xff{"), 0o600) },
	"huge": func(path string) error {
		return errors.Join(os.WriteFile(path, []byte("{"), 0o600), os.Truncate(path, 1<<40)) // sparse
	},
}

// Lost: all protection, to one thing in the backup directory that is neither the database nor
// an archive. Backups go on and count, and retention and recovery work.
func TestNothingPlantedStopsProtection(t *testing.T) {
	names := []string{"catalog.json", ".catalog.lock", ".snapd.lock", ".snapd-serve.lock", "data_latest.db.zst",
		"activity.jsonl", "activity.1.jsonl", ".snapd-activity.lock", "token", "sessions.json", "other.db.zst", "data.db", "notes",
		".snapd-tmp-data_backup_AUTO_20251031_120000.db.zst-0123456789abcdef", "corrupted_20251031_120500.db", "corrupted_20251031_120500.json"}
	for i, kind := range slices.Sorted(maps.Keys(planted)) {
		plant := planted[kind]
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			if kind == "unreadable" && os.Geteuid() == 0 {
				t.Skip("NOT TESTED: root can read every file")
			}
			for j, name := range names {
				if (i+j)%testdb.Sampled(3) != 0 {
					continue // two kinds in every place
				}
				if kind == "unreadable" && (name == "catalog.json" || strings.HasSuffix(name, "lock")) {
					continue // a catalog may hold what no archive does, and a lock be held: see TestUnreadableIsAnError
				}
				if err := withPlanted(t, name, plant); err != nil {
					t.Errorf("%s: %v", name, err)
				}
			}
		})
	}
}

// withPlanted runs a service in a directory where name was planted, and what people do there.
func withPlanted(t *testing.T, name string, plant func(path string) error) error {
	b := newBench(t, "wal", func(c *snapshot.Config) { c.Retention.Last = 2 })
	first := b.manual()
	b.mark("second")
	path := filepath.Join(b.m.Dir(), name)
	if err := errors.Join(os.RemoveAll(path), plant(path)); err != nil {
		return err
	}
	m, err := snapshot.Open(t.Context(), b.cfg)
	if err != nil {
		return fmt.Errorf("open: %w", err)
	}
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	b.rec.forget()
	go func() { ended <- m.Run(ctx) }()
	b.rec.wait(t, "backup at start, "+name, func(e snapshot.Event) bool {
		return e.Operation == snapshot.OpBackup && e.Ends()
	})
	stop()
	if err := <-ended; err != nil {
		return fmt.Errorf("run: %w", err)
	}
	for _, e := range b.rec.of(snapshot.EventFailed) {
		return fmt.Errorf("%s: %w", e.Operation, e.Err)
	}
	b.m = m
	b.mark("third")
	third, err := m.Backup(t.Context(), snapshot.Manual(""))
	if err != nil {
		return fmt.Errorf("backup: %w", err)
	}
	if latest, err := m.Find("latest"); err != nil || latest.ID != third.ID {
		return fmt.Errorf("latest is %s: %w", latest.ID, err)
	}
	if _, err := m.Verify(t.Context(), first.ID, snapshot.LevelQuick); err != nil {
		return fmt.Errorf("verify: %w", err)
	}
	if _, err := m.Prune(t.Context(), nil); err != nil {
		return fmt.Errorf("prune: %w", err)
	}
	if s, err := m.Status(t.Context()); err != nil || s.State != snapshot.Protected && !strings.Contains(s.Reason, "directory") {
		return fmt.Errorf("status %s, %s: %w", s.State, s.Reason, err)
	}
	if _, err := m.Rebuild(t.Context()); err != nil {
		return fmt.Errorf("rebuild: %w", err)
	}
	b.damage()
	if res, err := m.Recover(t.Context()); err != nil {
		return fmt.Errorf("recover: %+v, %w", res, err)
	}
	if got := b.marked(); got != "third" {
		return fmt.Errorf("recovered %q", got)
	}
	return nil
}

// Lost: pins and notes, because a catalog that could not be read was taken for damaged; or an
// operation's files, because a lock that could not be looked at was taken for free.
func TestUnreadableIsAnError(t *testing.T) {
	t.Parallel()
	if os.Geteuid() == 0 {
		t.Skip("NOT TESTED: root can read every file")
	}
	b := newBench(t, "wal")
	b.manual()
	path := filepath.Join(b.m.Dir(), "catalog.json")
	if err := os.Chmod(path, 0); err != nil {
		t.Fatal(err)
	}
	if _, err := snapshot.Open(t.Context(), b.cfg); !errors.Is(err, os.ErrPermission) {
		t.Error(err)
	}
	if err := os.Chmod(path, 0o600); err != nil {
		t.Fatal(err)
	}
	b.reopen()
	for _, lock := range []string{".snapd.lock", ".catalog.lock"} {
		path := filepath.Join(b.m.Dir(), lock)
		if err := os.Chmod(path, 0); err != nil {
			t.Fatal(err)
		}
		if _, err := b.m.Backup(t.Context(), snapshot.Manual("")); !errors.Is(err, os.ErrPermission) || snapshot.Code(err) != "read_only" {
			t.Errorf("%s: %v", lock, err)
		}
		if err := os.Chmod(path, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	b.manual()
}

// Lost: the backups, and the points of other timelines, to one thing in the place of a change log
// or of a part of one.
func TestNothingPlantedHidesPoints(t *testing.T) {
	for kind, plant := range planted {
		if kind == "unreadable" {
			continue // no one knows what it holds: an error
		}
		for _, name := range []string{"changes", "changes/7", "changes/7/open.chg", "changes/7/000000001-000000002_20251031_120000.chg.zst"} {
			t.Run(kind+" "+name, func(t *testing.T) {
				t.Parallel()
				b := newBench(t, "wal")
				first := b.manual()
				path := filepath.Join(b.m.Dir(), name)
				if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o700), plant(path)); err != nil {
					t.Fatal(err)
				}
				all, _, err := b.m.Points(t.Context(), snapshot.PointsQuery{})
				if err != nil || len(all) != 1 || all[0].Backup == nil || *all[0].Backup != first.ID {
					t.Errorf("points: %+v, %v", all, err)
				}
				if p, err := b.m.PointAt(t.Context(), time.Now().Add(time.Hour)); err != nil || p.Backup == nil {
					t.Errorf("point at: %+v, %v", p, err)
				}
				if got, err := b.m.Find("latest"); err != nil || got.ID != first.ID {
					t.Errorf("latest: %v, %v", got.ID, err)
				}
				if _, err := b.m.Restore(t.Context(), first.ID, snapshot.RestoreOptions{}); err != nil {
					t.Error(err)
				}
			})
		}
	}
}
