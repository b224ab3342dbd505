package durable

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"syscall"
)

// ErrNotRegular: a symbolic link, a pipe, a directory or the like is where a file
// of ours belongs. Others may have put it there: it is neither read nor written.
var ErrNotRegular = errors.New("it is not a regular file; move it away")

// OpenPlain are the flags with which an open follows no symbolic link and waits for
// no pipe. Regular files do not notice them.
const OpenPlain = openPlain

// OpenRegular is os.OpenFile that opens regular files only. Errors: ErrNotRegular.
func OpenRegular(path string, flag int, perm fs.FileMode) (*os.File, error) {
	if err := regular(os.Lstat(path)); errors.Is(err, ErrNotRegular) {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	f, err := os.OpenFile(path, flag|OpenPlain, perm)
	if errors.Is(err, syscall.ELOOP) { // put there since the first look
		return nil, fmt.Errorf("%s: %w", path, ErrNotRegular)
	}
	if err != nil {
		return nil, err
	}
	if err := regular(f.Stat()); err != nil { // as well
		return nil, errors.Join(fmt.Errorf("%s: %w", path, err), f.Close())
	}
	return f, nil
}

// regular takes what Lstat or Stat returned.
func regular(info fs.FileInfo, err error) error {
	if err == nil && !info.Mode().IsRegular() {
		return ErrNotRegular
	}
	return err
}
