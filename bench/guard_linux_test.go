package bench

import (
	"bufio"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"testing"

	"example.com/snapd/integrity"
	"example.com/snapd/internal/archive"
	"example.com/snapd/internal/samplecrm"
	"example.com/snapd/snapshot"
)

// These guards do not depend on the clock, so that they hold on any machine: a change
// that reads or writes the data once more, or allocates by the page, fails them.

// transferred is what this process has read and written by system calls, in bytes, and the
// number of calls that read (proc(5): rchar, wchar, syscr).
func transferred(t *testing.T) (read, written, calls int64) {
	t.Helper()
	f, err := os.Open("/proc/self/io")
	if err != nil {
		t.Skipf("SKIPPED, NOTHING PROVEN: %v", err)
	}
	defer f.Close()
	for sc := bufio.NewScanner(f); sc.Scan(); {
		name, value, _ := strings.Cut(sc.Text(), ": ")
		n, err := strconv.ParseInt(value, 10, 64)
		if err != nil {
			continue
		}
		switch name {
		case "rchar":
			read = n
		case "wchar":
			written = n
		case "syscr":
			calls = n
		}
	}
	return read, written, calls
}

// A backup reads the database once to compress it, writes the archive once, and reads
// it back once; in the rollback modes there is the private copy in between. To verify is
// to read. A restore proves and writes. quick_check reads tables twice, as trees and row by
// row, and what is read ahead of it is not all of use; but no job reads page by page.
func TestBytesReadAndWritten(t *testing.T) {
	for _, mode := range []string{"wal", "delete"} {
		t.Run(mode, func(t *testing.T) {
			db := filepath.Join(t.TempDir(), "crm.db")
			if err := samplecrm.Create(t.Context(), db, samplecrm.Options{Bytes: 32 << 20, Seed: 1, JournalMode: mode}); err != nil {
				t.Fatal(err)
			}
			m, err := snapshot.Open(t.Context(), snapshot.Config{Database: db})
			if err != nil {
				t.Fatal(err)
			}
			cost := func(what string, run func() error, mostRead, mostWritten func(image, stored int64) int64) {
				t.Helper()
				r0, w0, c0 := transferred(t)
				if err := run(); err != nil {
					t.Fatalf("%s: %v", what, err)
				}
				r1, w1, c1 := transferred(t)
				b, err := m.Find("latest")
				if err != nil {
					t.Fatal(err)
				}
				read, written := r1-r0, w1-w0
				calls := float64(c1-c0) / float64(b.DatabaseBytes/int64(b.PageSize))
				t.Logf("%s of %d bytes, stored in %d: read %.2f × the image by %.2f calls for each page, wrote %.2f × the archive", what, b.DatabaseBytes, b.ArchiveBytes,
					float64(read)/float64(b.DatabaseBytes), calls, float64(written)/float64(b.ArchiveBytes))
				if calls > mostCalls {
					t.Errorf("%s read by %.2f calls for each page, at most %.2f are needed", what, calls, mostCalls)
				}
				if most := mostRead(b.DatabaseBytes, b.ArchiveBytes) + slack; read > most {
					t.Errorf("%s read %d bytes, at most %d are needed", what, read, most)
				}
				if most := mostWritten(b.DatabaseBytes, b.ArchiveBytes) + slack; written > most {
					t.Errorf("%s wrote %d bytes, at most %d are needed", what, written, most)
				}
			}
			spool := int64(0)
			if mode == "delete" {
				spool = 1
			}
			cost("backup", func() error {
				_, err := m.Backup(t.Context(), snapshot.Manual(""))
				return err
			}, func(image, stored int64) int64 { return (1+spool)*image + checked(image) + stored + stored/20 },
				func(image, stored int64) int64 { return spool*image + stored })
			cost("verify", func() error {
				_, err := m.Verify(t.Context(), "latest", integrity.LevelQuick)
				return err
			}, func(_, stored int64) int64 { return stored + stored/20 },
				func(int64, int64) int64 { return 0 })
			cost("restore", func() error {
				_, err := m.Restore(t.Context(), "latest", snapshot.RestoreOptions{To: filepath.Join(t.TempDir(), "out.db")})
				return err
			}, func(_, stored int64) int64 { return stored + stored/20 },
				func(image, _ int64) int64 { return image })
		})
	}
}

// checked is the most that quick_check reads of a CRM database.
func checked(image int64) int64 { return image * 12 / 5 }

// mostCalls is how often a job may read, for each page. Page by page a backup takes 2.7.
const mostCalls = 0.75

// slack is for catalogs, headers, logs of SQLite's, and /proc.
const slack = 1 << 20

// What is allocated by the page or by the frame is allocated a million times for a
// large database, and costs the host a garbage collector that never rests.
func TestAllocationsPerFrame(t *testing.T) {
	image := make([]byte, archive.DefaultFrameBytes)
	for i := range image {
		image[i] = byte(i >> 7)
	}
	allocs := func(frames int) float64 {
		return testing.AllocsPerRun(3, func() {
			w, err := archive.NewWriter(io.Discard, archive.WriterOptions{PageSize: 4096, Workers: 2})
			if err != nil {
				t.Fatal(err)
			}
			for range frames {
				if _, err := w.Write(image); err != nil {
					t.Fatal(err)
				}
			}
			if _, err := w.Finish(archive.Facts{}); err != nil {
				t.Fatal(err)
			}
		})
	}
	few, many := allocs(16), allocs(144)
	per := (many - few) / 128
	t.Logf("%.2f allocations for each frame of %d bytes", per, len(image))
	if per > 1 {
		t.Errorf("writing allocates %.2f times for each frame: at most once", per)
	}
}

// A destination that stands still may hold up the writer, never fill the memory.
func TestFramesInFlight(t *testing.T) {
	const workers = 2
	stuck := &stuckWriter{reached: make(chan struct{}), release: make(chan struct{})}
	w, err := archive.NewWriter(stuck, archive.WriterOptions{PageSize: 4096, Workers: workers})
	if err != nil {
		t.Fatal(err)
	}
	defer w.Abort()
	taken := make(chan int, 64)
	done := make(chan error, 1)
	go func() {
		image := make([]byte, archive.DefaultFrameBytes)
		for i := range cap(taken) {
			if _, err := w.Write(image); err != nil {
				done <- err
				return
			}
			taken <- i
		}
		done <- nil
	}()
	<-stuck.reached
	// The frames that there are room for are taken; then Write waits, as its goroutine shows.
	for range workers + 2 {
		<-taken
	}
	for range 1000 {
		runtime.Gosched()
	}
	if n := len(taken); n > 0 {
		t.Errorf("%d more frames than %d were taken while nothing was written", n, workers+2)
	}
	close(stuck.release)
	if err := <-done; err != nil {
		t.Fatal(err)
	}
}

type stuckWriter struct {
	reached, release chan struct{}
	once             bool
}

func (s *stuckWriter) Write(p []byte) (int, error) {
	if !s.once {
		s.once = true
		close(s.reached)
		<-s.release
	}
	return len(p), nil
}
