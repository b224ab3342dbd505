package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"example.com/snapd/internal/samplecrm"
)

// writes per second of the process that goes on writing during backups.
const writes = 500

// write is that process: it says when it has begun, and ends with its standard input.
func write(ctx context.Context, path string) (err error) {
	db, err := samplecrm.Open(path, "")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin)
		cancel()
	}()
	w := samplecrm.NewWriter(db, uint64(os.Getpid()))
	fmt.Println("writing")
	if err := w.Run(ctx, writes); err != nil {
		return err
	}
	if w.Commits() == 0 {
		return errors.New("the writer wrote nothing")
	}
	return nil
}

// writer starts it; the function that comes back ends it.
func (f *field) writer(ctx context.Context) (stop func() error, err error) {
	cmd := exec.CommandContext(ctx, f.self, "-write", f.db)
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	stop = func() error { return errors.Join(in.Close(), cmd.Wait()) }
	if line, err := bufio.NewReader(out).ReadString('\n'); err != nil || line != "writing\n" {
		return nil, errors.Join(fmt.Errorf("the writer said %q: %w", line, err), stop())
	}
	return stop, nil
}

// cache puts the files that a run reads into the page cache, or takes them out of it.
func (f *field) cache(ctx context.Context) error {
	return filepath.WalkDir(f.o.dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		file, err := os.Open(path)
		if err != nil {
			return err
		}
		defer file.Close()
		if f.o.cold {
			return evict(file)
		}
		_, err = io.Copy(io.Discard, file)
		return err
	})
}

// size of a file, or of all files below a directory, in bytes.
func size(path string) (n int64, err error) {
	err = filepath.WalkDir(path, func(_ string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		st, err := d.Info()
		if err == nil {
			n += st.Size()
		}
		return err
	})
	return n, err
}

// versionIn is the first word with a digit and a dot of what a program says of itself.
func versionIn(said string) string {
	for word := range strings.FieldsSeq(said) {
		if strings.ContainsAny(word, "0123456789") && strings.Contains(word, ".") {
			return strings.Trim(word, "v,*")
		}
	}
	return strings.TrimSpace(said)
}
