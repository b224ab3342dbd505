package catalogfile

import (
	"errors"
	"fmt"
	"io/fs"
	"os"

	"example.com/snapd/internal/message"
)

// place is the backup directory as it was first seen. A directory that was copied or
// mounted again is another file; the seed of its page digests says that it is the same.
type place struct {
	info fs.FileInfo // nil: it was never there
	seed string      // "" while it is not known
}

// Known reports whether the backup directory was ever there: then it is not made again.
func (c *Catalog) Known() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.place.info != nil
}

// CheckPlace refuses a backup directory that went away since it was first seen
// (ErrNoDirectory), and another one in its place (ErrOtherDirectory): its disk may be
// unmounted. It writes nothing. One that was never there is no error.
func (c *Catalog) CheckPlace() error {
	info, err := os.Stat(c.dir)
	c.mu.Lock()
	defer c.mu.Unlock()
	was := &c.place
	switch {
	case was.info == nil && errors.Is(err, fs.ErrNotExist):
		return nil
	case errors.Is(err, fs.ErrNotExist):
		return message.WithHint(fmt.Errorf("%w any more: %s", ErrNoDirectory, c.dir),
			"mount its disk, or move it back; to begin with a new directory, start the program again")
	case err != nil:
		return fmt.Errorf("backup directory: %w", err)
	}
	same := was.info == nil || os.SameFile(was.info, info)
	if same && was.seed != "" {
		return nil
	}
	if same {
		was.info = info
		if c.doc != nil {
			was.seed = c.doc.state.PageSeed
		}
		return nil
	}
	if was.seed == "" || seedNow(c) != was.seed {
		return message.WithHint(fmt.Errorf("%w: %s", ErrOtherDirectory, c.dir),
			"mount the disk of the backup directory, or move it back; to use the directory that is there now, start the program again")
	}
	was.info = info
	return nil
}

// seedNow reads the seed from the file, "" where it has none; the caller holds c.mu.
func seedNow(c *Catalog) string {
	text, _, err := c.read()
	if err != nil {
		return ""
	}
	doc, err := decode(text)
	if err != nil {
		return ""
	}
	return doc.state.PageSeed
}
