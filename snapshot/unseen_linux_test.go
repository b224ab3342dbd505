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

	"example.com/snapd/internal/testdb"
	"example.com/snapd/snapshot"
)

func init() {
	children["another user"] = anotherUserChild
	children["another user dies"] = anotherUserDies
	children["another user comes back"] = anotherUserComesBack
}

// anotherUserDies does so in the middle of a restore.
func anotherUserDies(args []string) error {
	m, err := snapshot.Open(context.Background(), snapshot.Config{Database: args[0], AssumeUnused: true})
	if err != nil {
		return err
	}
	snapshot.SetCrashPoint(func(name string) {
		if name == "journal placed" {
			os.Exit(0)
		}
	})
	_, err = m.Restore(context.Background(), "latest", snapshot.RestoreOptions{Offline: true})
	return fmt.Errorf("it lives: %w", err)
}

// anotherUserComesBack finds a restore that was cut short. It is not finished while it is not
// known who has the database open, and that stops no reading.
func anotherUserComesBack(args []string) error {
	ctx, warned := context.Background(), 0
	cfg := snapshot.Config{Database: args[0], OnEvent: func(e snapshot.Event) {
		if strings.Contains(e.Message, "cut short cannot be finished") {
			warned++
		}
	}}
	m, err := snapshot.Open(ctx, cfg)
	if err != nil || warned != 1 {
		return fmt.Errorf("open, warned %d times: %w", warned, err)
	}
	if all, err := m.Backups(); err != nil || len(all) == 0 {
		return fmt.Errorf("list: %d, %w", len(all), err)
	}
	if _, err := m.Backup(ctx, snapshot.Manual("")); !errors.Is(err, snapshot.ErrRefused) || !strings.Contains(snapshot.Hint(err), "--force") {
		return fmt.Errorf("backup: %w", err)
	}
	cfg.AssumeUnused = true
	if m, err = snapshot.Open(ctx, cfg); err != nil {
		return err
	}
	_, err = m.Backup(ctx, snapshot.Manual(""))
	return err
}

// anotherUserChild protects, as a user with the right to write it, a database that belongs to
// another one. Who else has it open the system does not say to that user. args: database.
func anotherUserChild(args []string) error {
	if err := os.Setenv("TMPDIR", filepath.Dir(args[0])); err != nil { // the test's may be closed to that user
		return err
	}
	ctx := context.Background()
	var warned []string
	cfg := snapshot.Config{Database: args[0], OnEvent: func(e snapshot.Event) {
		if e.Type == snapshot.EventWarning {
			warned = append(warned, e.Message)
		}
	}}
	m, err := snapshot.Open(ctx, cfg)
	if err != nil {
		return err
	}
	stopped, stop := context.WithCancel(ctx)
	stop()
	if err := m.Run(stopped); err != nil {
		return fmt.Errorf("run: %w", err)
	}
	if all := strings.Join(warned, "\n"); !strings.Contains(all, "--force") || !strings.Contains(all, "belongs to user 0") {
		return fmt.Errorf("warned at the start: %q", warned)
	}
	all, err := m.Backups()
	if err != nil || len(all) != 1 {
		return fmt.Errorf("%d backups: %w", len(all), err)
	}
	if err := os.Truncate(args[0], 3*4096); err != nil {
		return err
	}
	for what, try := range map[string]func() error{
		"recover": func() error { return second(m.Recover(ctx)) },
		"restore": func() error { return second(m.Restore(ctx, all[0].ID, snapshot.RestoreOptions{})) },
	} {
		if err := try(); !errors.Is(err, snapshot.ErrRefused) || !strings.Contains(snapshot.Hint(err), "--force") {
			return fmt.Errorf("%s: %w (%s)", what, err, snapshot.Hint(err))
		}
	}
	if st, err := os.Stat(args[0]); err != nil || st.Size() != 3*4096 {
		return fmt.Errorf("touched: %w", err)
	}
	plan, err := m.PlanRecovery(ctx)
	if err != nil || len(plan.Options) == 0 || !errors.Is(plan.Err, snapshot.ErrRefused) {
		return fmt.Errorf("plan: %+v, %w", plan, err)
	}
	cfg.AssumeUnused = true
	if m, err = snapshot.Open(ctx, cfg); err != nil {
		return err
	}
	r, err := m.Recover(ctx)
	if err != nil || r.Action != snapshot.ActionRestored || !strings.Contains(r.Reason, "written in place") {
		return fmt.Errorf("recover: %+v, %w", r, err)
	}
	return nil
}

// Lost: the commits of a program of another user, which the search for open handles did not see; or
// that user's access to the database, which became snapd's.
func TestAnotherUsersDatabase(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("NOT TESTED: only root can make another user")
	}
	t.Parallel()
	path := filepath.Join(t.TempDir(), "data.db")
	makeDatabase(t, path, "delete")
	reachable(t, path)
	chmod(t, 0o777, filepath.Dir(path))
	chmod(t, 0o666, path)
	const nobody = 65534
	user := &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: nobody, Gid: nobody}}
	if err := testdb.ReexecAs(t, user, "another user", path).Wait(); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"another user dies", "another user comes back"} {
		if err := testdb.ReexecAs(t, user, name, path).Wait(); err != nil {
			t.Fatal(err)
		}
	}
	noDebris(t, path, "finished")
	st, err := os.Stat(path)
	must(t, err)
	if sys := st.Sys().(*syscall.Stat_t); sys.Uid != 0 || st.Mode().Perm() != 0o666 {
		t.Errorf("the database is now user %d's, with mode %v", sys.Uid, st.Mode())
	}
	testdb.ShellIntegrity(t, path)
}

// A missing database comes back as it was last seen: with its mode, owner and access list.
func TestMissingDatabaseComesBackAsItWas(t *testing.T) {
	t.Parallel()
	b := newBench(t, "delete")
	must(t, os.Chmod(b.m.Database(), 0o660))
	if os.Geteuid() == 0 {
		must(t, os.Chown(b.m.Database(), 65534, 65534))
	}
	was, err := os.Stat(b.m.Database())
	must(t, err)
	b.manual()
	testdb.Damaged(t, b.m.Database())
	must(t, os.Remove(b.m.Database()))
	if r, err := b.m.Recover(t.Context()); err != nil || r.Action != snapshot.ActionRestored {
		t.Fatalf("%+v, %v", r, err)
	}
	now, err := os.Stat(b.m.Database())
	must(t, err)
	a, z := was.Sys().(*syscall.Stat_t), now.Sys().(*syscall.Stat_t)
	if now.Mode() != was.Mode() || a.Uid != z.Uid || a.Gid != z.Gid {
		t.Errorf("mode %v, owner %d:%d; was %v, %d:%d", now.Mode(), z.Uid, z.Gid, was.Mode(), a.Uid, a.Gid)
	}
}
