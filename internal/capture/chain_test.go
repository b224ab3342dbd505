package capture

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"example.com/snapd/internal/archive"
	"example.com/snapd/internal/changes"
	"example.com/snapd/internal/livedb"
	"example.com/snapd/internal/pages"
	"example.com/snapd/internal/sqlitefile"
	"example.com/snapd/internal/testdb"
)

const seed = archive.Seed(11)

// scene is a database with a base and its change log.
type scene struct {
	t        *testing.T
	path     string
	dir      string
	base     *archive.Reader
	image    []byte // of the base
	archived []byte // the base
	pageSize int
	log      *changes.Log
	chain    *Chain
	states   map[uint64][]byte
}

func newScene(t *testing.T, path string) *scene {
	s := &scene{t: t, path: path, dir: filepath.Join(t.TempDir(), "1"), states: map[uint64][]byte{}}
	s.makeBase()
	s.open()
	return s
}

// makeBase archives the database as it is now.
func (s *scene) makeBase() {
	t := s.t
	t.Helper()
	var info livedb.Info
	s.image, info = s.look()
	s.pageSize = info.PageSize
	var b bytes.Buffer
	w, err := archive.NewWriter(&b, archive.WriterOptions{PageSize: s.pageSize, Workers: 1, Seed: seed})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write(s.image); err != nil {
		t.Fatal(err)
	}
	if _, err := w.Finish(archive.Facts{}); err != nil {
		t.Fatal(err)
	}
	if s.base, err = archive.NewReader(bytes.NewReader(b.Bytes()), int64(b.Len())); err != nil {
		t.Fatal(err)
	}
	s.archived = b.Bytes()
}

// look is the database as SQLite shows it.
func (s *scene) look() ([]byte, livedb.Info) {
	s.t.Helper()
	image, info, err := imageOf(s.t.Context(), s.path)
	if err != nil {
		s.t.Fatal(err)
	}
	return image, info
}

func imageOf(ctx context.Context, path string) ([]byte, livedb.Info, error) {
	tx, err := pages.Begin(ctx, path, livedb.Options{})
	if err != nil {
		return nil, livedb.Info{}, err
	}
	var b bytes.Buffer
	err = tx.CopyTo(ctx, &b, nil)
	return b.Bytes(), tx.Info(), errors.Join(err, tx.Close())
}

func headOf(pageSize int) changes.Head {
	return changes.Head{Timeline: 1, Database: "data.db", PageSize: pageSize, PageSeed: seed.String()}
}

// open begins as a service that was restarted does.
func (s *scene) open() {
	s.t.Helper()
	if s.log != nil {
		s.close()
	}
	var err error
	s.log, err = changes.Open(s.dir, headOf(s.pageSize))
	if err != nil {
		s.t.Fatal(err)
	}
	if s.chain, err = Open(s.t.Context(), s.path, Base{Archive: s.base, At: time.Now()}, s.log); err != nil {
		s.t.Fatal(err)
	}
}

func (s *scene) close() {
	s.t.Helper()
	if err := errors.Join(s.chain.Rest(), s.log.Close()); err != nil {
		s.t.Fatal(err)
	}
}

// capture looks, and compares the state that it gives with the database, byte for byte.
func (s *scene) capture() Outcome {
	s.t.Helper()
	out, err := s.chain.Capture(s.t.Context(), time.Now)
	if err != nil {
		s.t.Fatal(err)
	}
	now, _ := s.look()
	if out.Way != Nothing {
		s.states[out.Capture.Seq] = now
	}
	if got := s.state(s.chain.seq); !bytes.Equal(got, now) {
		s.t.Fatalf("%+v: the state of capture %d is not the database", out, s.chain.seq)
	}
	return out
}

// state is the base with the changes up to a capture.
func (s *scene) state(seq uint64) []byte {
	s.t.Helper()
	if seq == 0 {
		return s.image
	}
	m, err := s.log.Map(s.t.Context(), 0, seq)
	if err != nil {
		s.t.Fatal(err)
	}
	defer m.Close()
	image, err := changes.NewImage(s.t.Context(), s.base, m)
	if err != nil {
		s.t.Fatal(err)
	}
	file, err := os.Create(filepath.Join(s.t.TempDir(), "image"))
	if err != nil {
		s.t.Fatal(err)
	}
	defer file.Close()
	if err := image.Unpack(s.t.Context(), file, archive.CopyOptions{Workers: 1}); err != nil {
		s.t.Fatal(err)
	}
	whole, err := os.ReadFile(file.Name())
	if err != nil {
		s.t.Fatal(err)
	}
	parts := make([]byte, image.Shape().Bytes())
	for at := 0; at < len(parts); at += 3001 {
		if _, err := image.ReadAt(parts[at:min(at+3001, len(parts))], int64(at)); err != nil {
			s.t.Fatal(err)
		}
	}
	if !bytes.Equal(whole, parts) {
		s.t.Fatalf("capture %d: the image reads differently in parts", seq)
	}
	return parts
}

// compareAll compares every state with the copy that was taken with it.
func (s *scene) compareAll() int {
	s.t.Helper()
	for seq, want := range s.states {
		if !bytes.Equal(s.state(seq), want) {
			s.t.Errorf("capture %d is not what it was", seq)
		}
	}
	return len(s.states)
}

// Every capture is the state of the database at its look, for any work in between.
func TestEveryCaptureIsAState(t *testing.T) {
	t.Parallel()
	ways, reasons, compared := map[Way]int{}, map[string]int{}, 0
	for _, v := range []struct {
		pageSize int
		mode     string
		each     string
	}{
		{4096, "wal", "PRAGMA wal_autocheckpoint=1000"},
		{512, "wal", "PRAGMA wal_autocheckpoint=60"},
		{1024, "wal", "PRAGMA wal_autocheckpoint=100; PRAGMA cache_size=3; PRAGMA cache_spill=1"},
		{4096, "delete", ""},
		{4096, "either", "PRAGMA wal_autocheckpoint=40"},
		{2048, "page sizes", ""},
	} {
		t.Run(fmt.Sprintf("%d/%s/%s", v.pageSize, v.mode, v.each), func(t *testing.T) {
			rng := rand.New(rand.NewPCG(uint64(v.pageSize), uint64(len(v.mode))))
			path := filepath.Join(t.TempDir(), "data.db")
			mode := v.mode
			if mode != "delete" {
				mode = "wal"
			}
			each := "PRAGMA synchronous=OFF; " + v.each
			testdb.StartChurn(t, path, 1, fmt.Sprintf("PRAGMA page_size=%d; PRAGMA auto_vacuum=2; PRAGMA journal_mode=%s; %s", v.pageSize, mode, testdb.ChurnSchema)).Stop()
			a := testdb.StartChurn(t, path, 2, each)
			s := newScene(t, path)
			for i := range 30 {
				for range rng.IntN(5) {
					a.Work(rng)
				}
				switch {
				case i%11 == 10:
					s.open()
				case i%13 == 12:
					if err := s.chain.Rest(); err != nil {
						t.Fatal(err)
					}
					a.Stop()
					switch v.mode {
					case "either":
						testdb.StartChurn(t, path, 1, "PRAGMA journal_mode="+[]string{"wal", "delete"}[i%2]).Stop()
					case "page sizes":
						size := 512 << rng.IntN(6)
						testdb.StartChurn(t, path, 1, fmt.Sprintf("PRAGMA journal_mode=delete; PRAGMA page_size=%d; VACUUM; PRAGMA journal_mode=wal", size)).Stop()
						if size != s.pageSize {
							if out, err := s.chain.Capture(t.Context(), time.Now); !errors.Is(err, ErrOtherShape) {
								t.Fatalf("page size %d after %d: %+v, %v", size, s.pageSize, out, err)
							}
							compared += s.compareAll()
							s.close()
							s = newScene(t, path)
						}
					}
					a = testdb.StartChurn(t, path, 2, each)
				case i%17 == 16:
					if err := s.log.Seal(); err != nil {
						t.Fatal(err)
					}
				}
				out := s.capture()
				ways[out.Way]++
				if out.Way == Compared {
					reasons[strings.TrimRight(out.Reason, "0123456789")]++
				}
			}
			compared += s.compareAll()
			s.close()
		})
	}
	t.Logf("%d captures compared byte for byte; %v; compared because %v", compared, ways, reasons)
	if ways[Nothing] < 5 || ways[Followed] < 30 || ways[Compared] < 10 {
		t.Errorf("too little was met: %v", ways)
	}
}

// What was not changed costs nothing: no connection, no read, no write.
func TestIdleIsIdle(t *testing.T) {
	path := filepath.Join(t.TempDir(), "data.db")
	a := testdb.StartChurn(t, path, 1, "PRAGMA journal_mode=wal; "+testdb.ChurnSchema)
	s := newScene(t, path)
	a.Exec(0, "INSERT INTO t(a) VALUES(1)")
	s.capture()
	if err := s.chain.Rest(); err != nil {
		t.Fatal(err)
	}
	s.settle()
	before := testdb.DirListing(t, filepath.Dir(path)) + testdb.DirListing(t, s.dir)
	out, err := s.chain.Capture(t.Context(), time.Now)
	if err != nil || out.Way != Nothing || s.chain.pin.tx != nil {
		t.Errorf("%+v, %v", out, err)
	}
	if after := testdb.DirListing(t, filepath.Dir(path)) + testdb.DirListing(t, s.dir); after != before {
		t.Errorf("before:\n%s\nafter:\n%s", before, after)
	}
}

// settle looks until the files prove that nothing is written: one that was just written may be written
// again in the same instant.
func (s *scene) settle() {
	s.t.Helper()
	for deadline := time.Now().Add(time.Minute); !s.chain.at.Files.Unchanged(must(livedb.FingerprintIfAny(s.path))); {
		s.capture()
		if err := s.chain.Rest(); err != nil {
			s.t.Fatal(err)
		}
		if time.Now().After(deadline) {
			s.t.Fatal("the files never come to rest")
		}
	}
}

// A commit that neither sizes, times nor the log's header show is not left to the next one.
func TestCommitWhoseTimesWereSetBack(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "data.db")
	app := testdb.StartChurn(t, path, 1, "PRAGMA journal_mode=wal; "+testdb.ChurnSchema)
	app.Exec(0, "INSERT INTO t(a) VALUES(1); INSERT INTO t(a) VALUES(2); INSERT INTO t(a) VALUES(3); PRAGMA wal_checkpoint(RESTART); INSERT INTO t(a) VALUES(4)")
	s := newScene(t, path)
	s.settle()
	log := sqlitefile.WAL(path)
	was := must(os.Stat(log))
	app.Exec(0, "INSERT INTO t(a) VALUES(5)")
	if err := os.Chtimes(log, was.ModTime(), was.ModTime()); err != nil {
		t.Fatal(err)
	}
	if now := must(os.Stat(log)); now.Size() != was.Size() {
		t.Fatal("the commit does not hide")
	}
	if out := s.capture(); out.Way != Followed || out.Capture.Commits != 1 {
		t.Errorf("%+v", out)
	}
}

// The commits of an application that was started since the last look are all in its log, as long as
// nothing was copied from it: no page is compared.
func TestNewLog(t *testing.T) {
	t.Parallel()
	for name, v := range map[string]struct {
		before, since string
		want          Way
	}{
		"begun":                   {"", "INSERT INTO t(a) VALUES(2); INSERT INTO t(a) VALUES(3)", Followed},
		"begun twice":             {"INSERT INTO t(a) VALUES(2)", "INSERT INTO t(a) VALUES(3)", Compared},
		"copied":                  {"", "INSERT INTO t(a) VALUES(2); PRAGMA wal_checkpoint", Compared},
		"copied, and begun again": {"", "INSERT INTO t(a) VALUES(2); PRAGMA wal_checkpoint(RESTART); INSERT INTO t(a) VALUES(3)", Compared},
		"copied, and cut":         {"", "INSERT INTO t(a) VALUES(2); PRAGMA wal_checkpoint(TRUNCATE)", Compared},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			path := filepath.Join(t.TempDir(), "data.db")
			testdb.StartChurn(t, path, 1, "PRAGMA journal_mode=wal; "+testdb.ChurnSchema+"INSERT INTO t(a) VALUES(1)").Stop()
			s := newScene(t, path)
			s.settle()
			if v.before != "" {
				testdb.StartChurn(t, path, 1, v.before).Stop()
			}
			testdb.StartChurn(t, path, 1, v.since)
			if out := s.capture(); out.Way != v.want || v.want == Followed && out.Capture.Commits != 2 {
				t.Errorf("%+v", out)
			}
			s.close()
		})
	}
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// A capture that cannot be written is not taken for one that was.
func TestAppendFailsAndGoesOn(t *testing.T) {
	path := filepath.Join(t.TempDir(), "data.db")
	a := testdb.StartChurn(t, path, 1, "PRAGMA journal_mode=wal; "+testdb.ChurnSchema)
	s := newScene(t, path)
	a.Exec(0, "INSERT INTO t(a, b) VALUES(1, randomblob(20000))")
	s.capture()
	a.Exec(0, "DELETE FROM t; VACUUM")
	if err := s.log.Close(); err != nil { // its file takes no more
		t.Fatal(err)
	}
	if out, err := s.chain.Capture(t.Context(), time.Now); err == nil {
		t.Fatalf("%+v", out)
	}
	if s.chain.sum.Pages != int64(len(s.chain.digests)) {
		t.Errorf("%d pages in the sum, %d digests", s.chain.sum.Pages, len(s.chain.digests))
	}
	s.chain.log = must(changes.Open(s.dir, headOf(s.pageSize)))
	s.log = s.chain.log
	if out := s.capture(); out.Way != Followed || out.Capture.Commits != 2 {
		t.Errorf("%+v", out)
	}
}

// Another page size needs another base.
func TestAnotherPageSize(t *testing.T) {
	path := filepath.Join(t.TempDir(), "data.db")
	a := testdb.StartChurn(t, path, 1, testdb.ChurnSchema)
	s := newScene(t, path)
	a.Exec(0, "PRAGMA page_size=1024; VACUUM")
	if out, err := s.chain.Capture(t.Context(), time.Now); !errors.Is(err, ErrOtherShape) {
		t.Errorf("%+v, %v", out, err)
	}
}
