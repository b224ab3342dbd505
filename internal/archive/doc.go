// Package archive reads and writes the .db.zst archive that holds one database
// image: the seekable zstd format (zstd's contrib/seekable_format), with page
// digests and metadata in skippable frames. Stock zstd -d turns an archive back
// into the database. docs/archive-format.md has the byte tables.
//
// What an archive holds is proven by one digest for every page ([PageDigest]), the
// [Sum] over all of them, and BLAKE3-256 for the whole image, as b3sum prints it. Two
// images are compared by their page digests ([Diff]). Each frame has a digest of its stored
// bytes, too: with it a frame of one archive is proven to be what another one needs, and
// copied ([WriterOptions]). Memory is bounded by frames in flight, plus some 24 bytes for
// every frame of the image (24 MiB for 1 TiB).
package archive

import (
	"errors"
	"hash"

	"github.com/zeebo/blake3"
)

const (
	// Ext is the file name extension of archives.
	Ext = ".db.zst"
	// FormatVersion is the version that is written.
	FormatVersion = 3
	// oldestVersion is the first one that is read.
	oldestVersion = 2
	// DefaultFrameBytes is how much of the image one frame holds.
	DefaultFrameBytes = 1 << 20
)

// What callers branch on. Errors of reading the underlying file are neither of
// these and are wrapped as they come.
var (
	// ErrNotArchive: the file is something else.
	ErrNotArchive = errors.New("not a snapd archive")
	// ErrTruncated: the file begins as an archive, and its end is missing.
	ErrTruncated = errors.New("archive is cut short")
	// ErrDamaged: a digest, checksum or structure is wrong; the message says
	// what and where.
	ErrDamaged = errors.New("archive is damaged")
	// ErrVersion: another version of this program wrote the file.
	ErrVersion = errors.New("archive is of another format version")
	// ErrNotComparable: two archives have different page sizes, or different seeds.
	ErrNotComparable = errors.New("page digests cannot be compared")
	// ErrLimit: a size is beyond what this program handles.
	ErrLimit = errors.New("archive exceeds a limit")
)

// NewImageHash is the hash that identifies an image: BLAKE3-256, as b3sum
// prints it in lower-case hex.
func NewImageHash() hash.Hash { return blake3.New() }
