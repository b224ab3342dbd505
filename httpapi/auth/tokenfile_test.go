package auth

import (
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"example.com/snapd/snapshot"
)

const testToken = "a-token-of-the-tests-0123456789"

// optionsIn are for the built-in token in dir, with a silent log.
func optionsIn(dir string) Options {
	return Options{Dir: dir, TokenFile: filepath.Join(dir, "token"), Logger: slog.New(slog.DiscardHandler), Now: time.Now}
}

// If this fails, a token that others know or chose is taken for a secret.
func TestUnsafeTokenFilesAreRefused(t *testing.T) {
	good := testToken + "\n"
	for name, tc := range map[string]struct {
		make func(t *testing.T, path string) error
		hint string
	}{
		"empty":          {func(_ *testing.T, p string) error { return os.WriteFile(p, nil, 0o600) }, "delete it"},
		"a line's end":   {func(_ *testing.T, p string) error { return os.WriteFile(p, []byte("\n"), 0o600) }, "delete it"},
		"short":          {func(_ *testing.T, p string) error { return os.WriteFile(p, []byte("123456789012345\n"), 0o600) }, "16"},
		"two lines":      {func(_ *testing.T, p string) error { return os.WriteFile(p, []byte(good+good), 0o600) }, "one line"},
		"spaces":         {func(_ *testing.T, p string) error { return os.WriteFile(p, []byte("a token of the tests"), 0o600) }, "one line"},
		"binary":         {func(_ *testing.T, p string) error { return os.WriteFile(p, []byte(testToken+"\x00"), 0o600) }, "one line"},
		"large":          {func(_ *testing.T, p string) error { return os.WriteFile(p, []byte(strings.Repeat("x", 4000)), 0o600) }, ""},
		"huge":           {func(_ *testing.T, p string) error { return sparse(p, 1<<40) }, ""},
		"group reads":    {func(_ *testing.T, p string) error { return writeMode(p, good, 0o640) }, "chmod 600"},
		"others read":    {func(_ *testing.T, p string) error { return writeMode(p, good, 0o604) }, "chmod 600"},
		"group writes":   {func(_ *testing.T, p string) error { return writeMode(p, good, 0o620) }, "chmod 600"},
		"a directory":    {func(_ *testing.T, p string) error { return os.Mkdir(p, 0o700) }, "plain file"},
		"a link":         {func(t *testing.T, p string) error { return linkTo(t, p, good) }, "plain file"},
		"a dangling one": {func(_ *testing.T, p string) error { return os.Symlink("nowhere", p) }, "plain file"},
	} {
		t.Run(name, func(t *testing.T) {
			if runtime.GOOS == "windows" && (strings.HasSuffix(name, "s") || strings.HasPrefix(name, "a ")) {
				t.Skip("NOT TESTED on Windows: rights and special files are others there")
			}
			dir := t.TempDir()
			path := filepath.Join(dir, "token")
			if err := tc.make(t, path); err != nil {
				t.Fatal(err)
			}
			a, err := New(optionsIn(dir))
			if a != nil || !errors.Is(err, snapshot.ErrRefused) || snapshot.Code(err) != "refused" {
				t.Fatalf("opened: %v", err)
			}
			if !strings.Contains(snapshot.Hint(err), tc.hint) {
				t.Errorf("%v: hint %q, want something with %q", err, snapshot.Hint(err), tc.hint)
			}
			if strings.Contains(err.Error(), testToken) {
				t.Errorf("the token is in the error: %v", err)
			}
		})
	}
}

func writeMode(path, content string, mode os.FileMode) error {
	return errors.Join(os.WriteFile(path, []byte(content), 0o600), os.Chmod(path, mode))
}

func sparse(path string, size int64) error {
	return errors.Join(os.WriteFile(path, nil, 0o600), os.Truncate(path, size))
}

func linkTo(t *testing.T, path, content string) error {
	target := filepath.Join(t.TempDir(), "target")
	return errors.Join(os.WriteFile(target, []byte(content), 0o600), os.Symlink(target, path))
}

// If this fails, every request reads the token file, or a changed token is not seen.
func TestTokenFileIsReadOncePerChange(t *testing.T) {
	path := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(path, []byte(testToken), 0o600); err != nil {
		t.Fatal(err)
	}
	old := time.Now().Add(-time.Hour)
	if err := os.Chtimes(path, old, old); err != nil {
		t.Fatal(err)
	}
	f, err := openToken(path, false)
	if err != nil {
		t.Fatal(err)
	}
	before := f.read
	hash, changed, err := f.refresh()
	if err != nil || changed || !hash.equal(hashToken(testToken)) {
		t.Fatalf("%v, changed %v", err, changed)
	}
	if f.read != before {
		t.Error("the file is read for each request")
	}
	if err := os.WriteFile(path, []byte(strings.Repeat("2", len(testToken))), 0o600); err != nil {
		t.Fatal(err)
	}
	hash, changed, err = f.refresh()
	if err != nil || !changed || !hash.equal(hashToken(strings.Repeat("2", len(testToken)))) {
		t.Errorf("a changed token is not seen: %v, changed %v", err, changed)
	}
}

// If this fails, tokens that people chose are taken for random ones, and may be guessed
// without limit.
func TestChosenTokensAreGuessable(t *testing.T) {
	for _, chosen := range []string{testToken, strings.Repeat("ab", 21) + "c", "the-name-of-my-dog-and-the-year-of-its-birth"} {
		if unguessable(chosen) {
			t.Errorf("%q is taken for a random one", chosen)
		}
	}
}
