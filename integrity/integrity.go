package integrity

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"time"

	"example.com/snapd/internal/lineage"
	"example.com/snapd/internal/livedb"
	"example.com/snapd/internal/sqlite"
)

// DefaultLockWait is how long a check waits for a lock by default.
const DefaultLockWait = 5 * time.Second

// Options of a check. The zero value is a quick check.
type Options struct {
	Level Level
	// Untrusted says that the file may have been made by an attacker. A schema that would
	// cost SQLite more memory and time than such a file may is then ErrCodeLimit; see
	// docs/integrity.md for the bounds. The check of a file that changes meanwhile has none.
	Untrusted bool
	// ScratchDir holds private copies where one is needed; "" is the system's
	// directory for temporary files.
	ScratchDir string
	// LockWait is the longest wait for a lock, or for a database that changes
	// faster than it can be read; 0 means DefaultLockWait. The context ends it earlier.
	LockWait time.Duration
	// OwnLog has it looked whether the log is the file's own at any level, and not from quick on only.
	OwnLog bool
	// Known is what the database was at its newest backup, where that is known: a log next to it that has that database
	// is its own, whatever else speaks against it.
	Known lineage.Facts
	// Progress, when not nil, gets the bytes of an archive's image that have been
	// unpacked so far: of CheckArchive and CheckImage, which check them afterwards.
	Progress func(done int64)
}

// boundsSchema reports whether a schema has to be small enough for SQLite to parse.
func (o Options) boundsSchema() bool { return o.Untrusted && o.Level > LevelHeader }

func (o Options) scratchDir() string {
	if o.ScratchDir == "" {
		return os.TempDir()
	}
	return o.ScratchDir
}

func (o Options) lockWait() time.Duration {
	if o.LockWait <= 0 {
		return DefaultLockWait
	}
	return o.LockWait
}

// Check judges the database at path, which other connections may be using and
// which may be a symbolic link. It is read-only: the file, its sidecars and its
// directory are afterwards as they were. A missing file is a verdict, not an
// error; every error is a *CheckError.
//
// It returns within a second after ctx ends, and without a deadline after a time in
// proportion to the file's size: what a crafted schema wants evaluated beyond that is
// left out, with a finding that says so. Should SQLite be inside one long function call
// when ctx ends, the work goes on behind until that call returns, and so does the
// shared lock on the file.
func Check(ctx context.Context, path string, o Options) (Report, error) {
	start := time.Now()
	real, err := locate(path)
	if errors.Is(err, fs.ErrNotExist) {
		return missing(path, real, o, start)
	}
	if err != nil {
		return Report{}, err
	}
	return inTime(ctx, path, func() (Report, error) {
		l := &liveCheck{path: real, o: o, giveUp: start.Add(o.lockWait())}
		t, failed, err := l.run(ctx)
		if errors.Is(err, livedb.ErrMissing) {
			return missing(path, real, o, start)
		}
		if err != nil {
			return Report{}, named(path, err)
		}
		return t.report(path, o.Level, failed, start), nil
	})
}

// grace is how long a cancelled check may take to end by itself.
const grace = 500 * time.Millisecond

// inTime runs check and returns at the latest grace after ctx ended. SQLite can be
// interrupted between the steps of a statement, but not inside one call of a
// function, which sqlite keeps short, or of a virtual table. Then check is left
// behind; it closes and removes what it uses when that call returns.
func inTime(ctx context.Context, path string, check func() (Report, error)) (Report, error) {
	type outcome struct {
		rep Report
		err error
	}
	done := make(chan outcome, 1)
	go func() {
		rep, err := check()
		done <- outcome{rep, err}
	}()
	select {
	case o := <-done:
		return o.rep, o.err
	case <-ctx.Done():
	}
	t := time.NewTimer(grace)
	defer t.Stop()
	select {
	case o := <-done:
		return o.rep, o.err
	case <-t.C:
		return Report{}, cannot(ErrCodeCancelled, path, fmt.Errorf("an expression of the schema does not come to an end: %w", ctx.Err()))
	}
}

// locate resolves path to a regular file; fs.ErrNotExist when there is none.
func locate(path string) (real string, err error) {
	real, err = livedb.Resolve(path)
	if err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			return "", err
		}
		return "", cannotRead(path, err)
	}
	fi, err := os.Stat(real)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return real, err
	case err != nil:
		return "", cannotRead(path, err)
	case fi.IsDir():
		return "", cannot(ErrCodeNotAFile, path, errors.New("it is a directory"))
	case !fi.Mode().IsRegular():
		return "", cannot(ErrCodeNotAFile, path, errors.New("it is not a regular file"))
	}
	return real, nil
}

func missing(path, real string, o Options, start time.Time) (Report, error) {
	t := &results{verdict: Missing}
	if real != "" {
		orphans, err := livedb.Sidecars(real)
		if err != nil {
			return Report{}, cannotRead(path, err)
		}
		for _, name := range orphans {
			t.add(CodeWALStray, "%s is there without its database", name)
		}
	}
	return t.report(path, o.Level, nil, start), nil
}

// CheckTx runs the SQL levels (probe, quick, full) on conn inside the caller's
// open read transaction, which stays open. The header level has no meaning there and
// counts as probe. The report has no path. Every error is a *CheckError.
//
// Where the schema has functions or collations that are not known here, all functions
// of conn are stubs afterwards (sqlite.StubFunctions): it is then good for
// reading and writing pages only.
//
// On a read-only connection SQLite does not evaluate CHECK constraints; all that
// concerns the structure is checked there as well.
func CheckTx(ctx context.Context, conn *sqlite.Conn, o Options) (_ Report, err error) {
	start := time.Now()
	before, err := conn.Int(ctx, "PRAGMA cell_size_check")
	if err != nil {
		return Report{}, cannotRead("", err)
	}
	if before == 0 {
		if err := conn.Exec(ctx, "PRAGMA cell_size_check=1"); err != nil {
			return Report{}, cannotRead("", err)
		}
		defer func() {
			// Even when ctx is done, the caller's connection is handed back as it was.
			if rerr := conn.Exec(context.WithoutCancel(ctx), "PRAGMA cell_size_check=0"); err == nil && rerr != nil {
				err = cannotRead("", rerr)
			}
		}()
	}
	s := &sqlCheck{conn: conn, found: &results{}}
	failed, err := s.run(ctx, max(o.Level, LevelProbe))
	if err != nil {
		return Report{}, cannotRead("", err)
	}
	return s.found.report("", o.Level, failed, start), nil
}
