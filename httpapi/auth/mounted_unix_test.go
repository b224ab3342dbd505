//go:build unix

package auth

import (
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"example.com/snapd/snapshot"
)

// Lost: the page, where a container's or systemd's secret is no token for its links and modes;
// or the secrecy of one that another user could have put there, or can read.
func TestMountedTokens(t *testing.T) {
	const stranger = 4001
	root := os.Geteuid() == 0
	line := []byte(testToken + "\n")
	for name, tc := range map[string]struct {
		make   func(dir string) error // the file dir/secret
		mount  bool                   // read-only
		owners bool                   // needs root
		want   string                 // of the refusal; "" for none
	}{
		"systemd": {make: func(dir string) error { return writeMode(dir+"/secret", string(line), 0o440) }},
		"docker":  {make: func(dir string) error { return writeMode(dir+"/secret", string(line), 0o444) }, mount: true},
		"kubernetes": {make: func(dir string) error {
			return errors.Join(os.Chmod(dir, 0o777|os.ModeSticky), os.Mkdir(dir+"/..2026", 0o755), writeMode(dir+"/..2026/secret", string(line), 0o644),
				os.Symlink("..2026", dir+"/..data"), os.Symlink("..data/secret", dir+"/secret"))
		}, mount: true},
		"read by all":      {make: func(dir string) error { return writeMode(dir+"/secret", string(line), 0o444) }, want: "mode 0444"},
		"written by group": {make: func(dir string) error { return writeMode(dir+"/secret", string(line), 0o660) }, mount: true, want: "mode 0660"},
		"open directory": {make: func(dir string) error {
			return errors.Join(writeMode(dir+"/secret", string(line), 0o400), os.Chmod(dir, 0o777))
		}, want: "every user"},
		"another's": {make: func(dir string) error {
			return errors.Join(writeMode(dir+"/secret", string(line), 0o600), os.Chown(dir+"/secret", stranger, 0))
		}, owners: true, want: "belongs to user 4001"},
		"another's folder": {make: func(dir string) error {
			return errors.Join(writeMode(dir+"/secret", string(line), 0o600), os.Chown(dir, stranger, 0))
		}, owners: true, want: "belongs to user 4001"},
		"another's link": {make: func(dir string) error {
			return errors.Join(writeMode(dir+"/x", string(line), 0o600), os.Symlink("x", dir+"/secret"), os.Lchown(dir+"/secret", stranger, 0))
		}, owners: true, want: "belongs to user 4001"},
		"a link to another": {make: func(dir string) error { return os.Symlink("/dev/zero", dir+"/secret") }, want: "not a plain file"},
	} {
		t.Run(name, func(t *testing.T) {
			if tc.owners && !root {
				t.Skip("NOT TESTED: only root can give files to other users")
			}
			backups, dir := t.TempDir(), t.TempDir()
			if err := tc.make(dir); err != nil {
				t.Fatal(err)
			}
			was := readOnlyMount
			readOnlyMount = func(*os.File) bool { return tc.mount }
			defer func() { readOnlyMount = was }()
			a, err := New(Options{Dir: backups, TokenFile: filepath.Join(dir, "secret"), Logger: slog.New(slog.DiscardHandler), Now: time.Now})
			if tc.want != "" {
				if !errors.Is(err, snapshot.ErrRefused) || !strings.Contains(err.Error(), tc.want) || snapshot.Hint(err) == "" {
					t.Errorf("%v; want a refusal with %q and a hint", err, tc.want)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if token, err := a.Token(); err != nil || token != testToken {
				t.Errorf("%q, %v", token, err)
			}
		})
	}
}

// Lost: a service whose directory was exchanged for a user's own, with a token that the user knows.
func TestTokenOfAnotherUserIsRefused(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("NOT TESTED: only root can give files to other users")
	}
	dir := t.TempDir()
	path := filepath.Join(dir, "token")
	if err := errors.Join(writeMode(path, testToken+"\n", 0o600), os.Chown(path, 4001, 4001)); err != nil {
		t.Fatal(err)
	}
	if _, err := New(optionsIn(dir)); !errors.Is(err, snapshot.ErrRefused) || !strings.Contains(err.Error(), "belongs to user 4001") {
		t.Errorf("opened: %v", err)
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	path = filepath.Join(dir, sessionFile)
	if err := errors.Join(writeMode(path, `{"sessions":[]}`, 0o600), os.Chown(path, 4001, 4001)); err != nil {
		t.Fatal(err)
	}
	checkUnusableSessionFile(t, dir, "belongs to user 4001")
}
