package inspect

import "example.com/snapd/internal/sqlite"

// Conn opens a connection of its own to the image, as one to an untrusted file. Explain says why it could not read.
func (i *Image) Conn() (*sqlite.Conn, error) {
	c, err := sqlite.Open(imageName, sqlite.Options{VFS: i.fileSystem, Immutable: true, Untrusted: true})
	if err != nil {
		return nil, i.explain(err)
	}
	return c, nil
}

// Explain returns the read that failed in the place of err, if one did.
func (i *Image) Explain(err error) error { return i.explain(err) }

// Size is the size of the image in bytes.
func (i *Image) Size() int64 { return i.size }
