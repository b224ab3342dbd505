package sftp_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"example.com/snapd/internal/durable"
	"example.com/snapd/internal/store"
	"example.com/snapd/internal/store/sftp"
	"example.com/snapd/internal/store/storetest"
)

func open(t testing.TB, url string, options sftp.Options) (*sftp.SFTP, error) {
	t.Helper()
	place, err := sftp.Parse(url)
	if err != nil {
		t.Fatal(err)
	}
	options.Wait = time.Millisecond
	if options.Env == nil {
		options.Env = func(string) string { return "" }
	}
	s, err := sftp.Open(t.Context(), place, options)
	if err == nil {
		t.Cleanup(func() { s.Close() })
	}
	return s, err
}

func mustOpen(t testing.TB, url string, options sftp.Options) *sftp.SFTP {
	t.Helper()
	s, err := open(t, url, options)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func put(t testing.TB, s store.Store, name string, data []byte) (store.Object, error) {
	t.Helper()
	return s.Put(t.Context(), name, bytes.NewReader(data), int64(len(data)))
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func TestConforms(t *testing.T) {
	server := startServer(t)
	storetest.Suite{Names: 200, Large: 3 << 20, Place: func(t *testing.T) func() store.Store {
		url := server.url(t.TempDir())
		return func() store.Store { return mustOpen(t, url, sftp.Options{}) }
	}}.Run(t)
}

// If this fails, a backup is sent to a server that only says it is the one, or a login that cannot succeed is tried for ever.
func TestLogin(t *testing.T) {
	server, dir := startServer(t), t.TempDir()
	must(t, func() error { _, err := open(t, server.url(dir), sftp.Options{}); return err }())
	for name, c := range map[string]struct {
		url  string
		text string
	}{
		"unknown server": {strings.Replace(server.url(dir), server.known, server.file(t, "none", ""), 1), "ssh-keyscan"},
		"another key":    {strings.Replace(server.url(dir), server.known, server.file(t, "other", server.knownLine(newKey(t))), 1), "another server"},
		"no list":        {strings.Replace(server.url(dir), server.known, "/nonexistent", 1), "ssh-keyscan"},
		"refused key":    {strings.Replace(server.url(dir), server.key, server.file(t, "stranger", privatePEM(t, newKey(t))), 1), ""},
		"no key":         {strings.Replace(server.url(dir), server.key, "/nonexistent", 1), "key_file"},
	} {
		if _, err := open(t, c.url, sftp.Options{}); !errors.Is(err, store.ErrDenied) || !strings.Contains(err.Error(), c.text) {
			t.Errorf("%s: %v, want %q in it", name, err, c.text)
		}
	}
	home := t.TempDir() // the usual places
	must(t, os.Mkdir(filepath.Join(home, ".ssh"), 0o700))
	for from, to := range map[string]string{server.key: "id_ed25519", server.known: "known_hosts"} {
		text, err := os.ReadFile(from)
		must(t, err)
		must(t, os.WriteFile(filepath.Join(home, ".ssh", to), text, 0o600))
	}
	bare, _, _ := strings.Cut(server.url(dir), "?")
	mustOpen(t, bare, sftp.Options{Env: func(name string) string { return map[string]string{"HOME": home}[name] }})
}

// If this fails, backups go to the server's own disk, below the mount point of one that is not mounted.
func TestGone(t *testing.T) {
	server, dir := startServer(t), filepath.Join(t.TempDir(), "mounted")
	if _, err := open(t, server.url(dir), sftp.Options{}); !errors.Is(err, store.ErrGone) {
		t.Errorf("open of no directory: %v", err)
	}
	must(t, os.Mkdir(dir, 0o700))
	s := mustOpen(t, server.url(dir), sftp.Options{})
	if _, err := put(t, s, "a", []byte("a")); err != nil {
		t.Fatal(err)
	}
	mustOpen(t, server.url(dir), sftp.Options{ID: s.ID()})
	must(t, os.Rename(dir, dir+".away"))
	must(t, os.Mkdir(dir, 0o700))
	_, errOpen := open(t, server.url(dir), sftp.Options{ID: s.ID()})
	_, errPut := put(t, s, "b", []byte("b"))
	_, errStat := s.Stat(t.Context(), "a")
	_, errGet := s.Get(t.Context(), "a", "", 0, -1)
	var errList error
	for _, errList = range s.List(t.Context(), "", "") {
	}
	for op, err := range map[string]error{"open": errOpen, "put": errPut, "stat": errStat, "get": errGet, "list": errList, "delete": s.Delete(t.Context(), "a")} {
		if !errors.Is(err, store.ErrGone) || errors.Is(err, store.ErrMissing) {
			t.Errorf("%s: %v", op, err)
		}
	}
	if entries, err := os.ReadDir(dir); err != nil || len(entries) > 0 {
		t.Errorf("files were made: %v, %v", entries, err)
	}
}

// If this fails, a backup is not stored, or a restore ends, because a connection broke.
func TestReconnects(t *testing.T) {
	server, dir := startServer(t), t.TempDir()
	var retries atomic.Int64
	var enough atomic.Pointer[context.CancelFunc]
	s := mustOpen(t, server.url(dir), sftp.Options{Retrying: func(error, time.Duration) {
		retries.Add(1)
		if stop := enough.Load(); stop != nil {
			(*stop)()
		}
	}})
	data := bytes.Repeat([]byte("0123456789abcdef"), 1<<18) // 4 MiB
	server.breakAfter(1 << 20)
	if _, err := put(t, s, "o", data); err != nil || retries.Load() == 0 {
		t.Errorf("put: %v after %d retries", err, retries.Load())
	}
	server.breakAfter(1 << 20)
	r, err := s.Get(t.Context(), "o", "", 5, -1)
	must(t, err)
	head := make([]byte, 10)
	_, err = io.ReadFull(r, head)
	must(t, err)
	server.breakAll()
	rest, err := io.ReadAll(r)
	if err != nil || !bytes.Equal(append(head, rest...), data[5:]) {
		t.Errorf("get: %d bytes, %v", len(rest), err)
	}
	must(t, r.Close())
	server.breakAll()
	if _, err := s.Stat(t.Context(), "o"); err != nil {
		t.Errorf("stat: %v", err)
	}
	server.breakAll()
	for object, err := range s.List(t.Context(), "", "") {
		if err != nil || object.Name != "o" {
			t.Errorf("list: %+v, %v", object, err)
		}
	}
	server.breakAll()
	if err := s.Delete(t.Context(), "o"); err != nil {
		t.Errorf("delete: %v", err)
	}

	if _, err := put(t, s, "o", data); err != nil {
		t.Fatal(err)
	}
	r, err = s.Get(t.Context(), "o", "", 0, -1)
	must(t, err)
	_, err = io.ReadFull(r, head)
	must(t, err)
	server.breakAll()
	must(t, os.WriteFile(filepath.Join(dir, "o"), data[1:], 0o600))
	if n, err := io.Copy(io.Discard, r); !errors.Is(err, store.ErrChanged) {
		t.Errorf("get of a file that changed meanwhile: %d bytes, %v", n, err)
	}
	must(t, r.Close())

	server.stop()
	ctx, cancel := context.WithCancel(t.Context())
	enough.Store(&cancel)
	if _, err := s.Stat(ctx, "o"); !errors.Is(err, context.Canceled) || !errors.Is(err, store.ErrThrottled) {
		t.Errorf("stat of a server that is gone: %v", err)
	}
}

// If this fails, an object that was stored is reported as another writer's, because the answer got lost with the connection.
func TestLostAnswers(t *testing.T) {
	server, dir := startServer(t), t.TempDir()
	var retries atomic.Int64
	s := mustOpen(t, server.url(dir), sftp.Options{Retrying: func(error, time.Duration) { retries.Add(1) }})
	whole := 0
	for n := int64(1); whole < 3; n += 60 { // each request has about that many bytes
		before, name := retries.Load(), fmt.Sprintf("o%d", n)
		server.breakAfter(n)
		if _, err := put(t, s, name, []byte(name)); err != nil {
			t.Errorf("the connection breaks after %d bytes: %v", n, err)
		}
		server.breakAfter(0)
		if got, err := os.ReadFile(filepath.Join(dir, name)); err != nil || string(got) != name {
			t.Errorf("the connection breaks after %d bytes: stored is %q, %v", n, got, err)
		}
		if whole++; retries.Load() > before {
			whole = 0
		}
	}
	if retries.Load() < 10 {
		t.Errorf("the connection broke %d times", retries.Load())
	}
}

// If this fails, a copy has its name before the server's disk has its bytes, or other bytes than were sent.
func TestSyncedAndReadBackBeforeItHasItsName(t *testing.T) {
	t.Parallel()
	server := startServer(t)
	s := mustOpen(t, server.url(t.TempDir()), sftp.Options{})
	if _, err := put(t, s, "o", []byte("content")); err != nil {
		t.Fatal(err)
	}
	s.Close()
	server.stop() // the program has said all
	server.running.Wait()
	did := ""
	for line := range strings.Lines(server.said.String()) {
		switch {
		case strings.HasPrefix(line, "link ") || strings.HasPrefix(line, "hardlink "):
			did += "named "
		case strings.HasPrefix(line, "fsync "):
			did += "synced "
		case strings.Contains(line, "bytes read 0 written 7"):
			did += "written "
		case strings.Contains(line, "bytes read 7 written 0"):
			did += "read "
		}
	}
	if did != "synced written read named " {
		t.Errorf("%q:\n%s", did, &server.said)
	}
}

// If this fails, a server fills up with what crashes left.
func TestSweep(t *testing.T) {
	server, dir := startServer(t), t.TempDir()
	old, young := filepath.Join(dir, durable.TempName("x")), filepath.Join(dir, durable.TempName("x"))
	for _, name := range []string{old, young} {
		must(t, os.WriteFile(name, nil, 0o600))
	}
	must(t, os.Chtimes(old, time.Now(), time.Now().Add(-25*time.Hour)))
	s := mustOpen(t, server.url(dir), sftp.Options{})
	if _, err := put(t, s, "o", nil); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(old); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("an old temporary file: %v", err)
	}
	if _, err := os.Stat(young); err != nil {
		t.Errorf("a young temporary file: %v", err)
	}
}

// If this fails, a password is taken from a URL, and shown.
func TestParse(t *testing.T) {
	for raw, want := range map[string]string{
		"sftp://me@host/backups": "sftp://me@host/backups", "sftp://me@host:2222/~/b/?key_file=/k": "sftp://me@host:2222/~/b?key_file=/k",
		"sftp://host/backups": "", "sftp://me@host": "", "sftp://me@host/": "", "sftp://me:s3cret@host/b": "", "sftp://me@host/b?password=s3cret": "", "ssh://me@host/b": "",
	} {
		place, err := sftp.Parse(raw)
		if (err == nil) != (want != "") || err == nil && place.String() != want {
			t.Errorf("%s is %v, %v, want %q", raw, place, err, want)
		}
		if err != nil && strings.Contains(err.Error(), "s3cret") {
			t.Errorf("a password is shown: %v", err)
		}
	}
}
