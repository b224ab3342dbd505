package archive

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"sync"

	"github.com/klauspost/compress/zstd"

	"example.com/snapd/internal/durable"
	"example.com/snapd/internal/seekable"
)

// Reader reads an archive. All methods but Close may be called concurrently.
type Reader struct {
	r       io.ReaderAt
	closer  io.Closer // of r; nil when the caller's
	meta    metadata
	seed    Seed
	info    Info
	offsets []int64 // of every data frame, and the end of the last one
	dec     *zstd.Decoder
	quick   *zstd.Decoder // for frames whose stored bytes are proven
	cache   frameCache

	proving sync.Mutex // guards what follows
	proven  bool       // the page digests are those that meta names
	frames  []byte     // the proven frame digests; nil until they are asked for
}

// Open opens the archive at path and proves its structure: metadata, seek
// table, and that the sizes add up to the file's. The frames' contents are
// proven when they are read. Errors: ErrNotArchive, ErrTruncated, ErrDamaged,
// ErrVersion, ErrLimit, or the file system's.
func Open(path string) (*Reader, error) {
	real, err := filepath.EvalSymlinks(path)
	if err != nil {
		return nil, fmt.Errorf("open archive: %w", err)
	}
	f, err := durable.OpenRegular(real, os.O_RDONLY, 0)
	if errors.Is(err, durable.ErrNotRegular) {
		return nil, fmt.Errorf("open archive %s: %w: not a regular file", path, ErrNotArchive)
	}
	if err != nil {
		return nil, fmt.Errorf("open archive: %w", err)
	}
	return OpenFile(f)
}

// OpenFile is Open for an open file, which the Reader closes, as does an error.
func OpenFile(f *os.File) (*Reader, error) {
	st, err := f.Stat()
	if err != nil {
		return nil, errors.Join(fmt.Errorf("open archive: %w", err), f.Close())
	}
	r, err := NewReader(f, st.Size())
	if err != nil {
		return nil, errors.Join(fmt.Errorf("open archive %s: %w", f.Name(), err), f.Close())
	}
	r.closer = f
	return r, nil
}

// NewReader is Open for the archive in the first size bytes of r, which the
// caller closes. r.ReadAt is called concurrently.
func NewReader(r io.ReaderAt, size int64) (*Reader, error) {
	table, err := readFooter(r, size)
	if err != nil {
		return nil, err
	}
	meta, metaFrame, err := readMetadata(r, table)
	if err != nil {
		return nil, err
	}
	if want := meta.frames() + meta.otherFrames(); table.frames != want {
		return nil, fmt.Errorf("%w: seek table has %d frames, metadata makes it %d", ErrDamaged, table.frames, want)
	}
	if table.descriptor != 0 {
		return nil, fmt.Errorf("%w: seek table descriptor is %#02x", ErrDamaged, table.descriptor)
	}
	offsets, err := readSeekTable(r, table.off, meta, metaFrame)
	if err != nil {
		return nil, err
	}
	dec, err := seekable.NewDecoder()
	if err != nil {
		return nil, err
	}
	quick, err := seekable.NewProvenDecoder()
	if err != nil {
		return nil, err
	}
	seed, err := ParseSeed(meta.PageSeed)
	if err != nil {
		return nil, fmt.Errorf("%w: metadata: %w", ErrDamaged, err)
	}
	return &Reader{
		r:       r,
		meta:    meta,
		seed:    seed,
		info:    meta.info(size),
		offsets: offsets,
		dec:     dec,
		quick:   quick,
		cache:   newFrameCache(meta.FrameBytes, runtime.GOMAXPROCS(0)),
	}, nil
}

// Closing has Close close c, too: what the archive is read from.
func (r *Reader) Closing(c io.Closer) { r.closer = c }

// Info describes the archive.
func (r *Reader) Info() Info { return r.info }

// Seed returns the seed of the page digests. It is a secret; see [Seed].
func (r *Reader) Seed() Seed { return r.seed }

// Close closes the file that Open opened, or what Closing was given; reads after it are errors. The
// second time it does nothing.
func (r *Reader) Close() error {
	if r.closer == nil {
		return nil
	}
	c := r.closer
	r.closer = nil
	if err := c.Close(); err != nil {
		return fmt.Errorf("close archive: %w", err)
	}
	return nil
}

// readMetadata finds the metadata frame backwards from the seek table, and
// returns its whole size as well.
func readMetadata(r io.ReaderAt, table seekTable) (meta metadata, frame int64, err error) {
	off := table.off
	if off < seekable.SkipHeaderBytes+int64(trailerBytes) {
		return meta, 0, fmt.Errorf("%w: no room for metadata before the seek table", ErrNotArchive)
	}
	var t [trailerBytes]byte
	if err := readFull(r, t[:], off-int64(len(t))); err != nil {
		return meta, 0, fmt.Errorf("read metadata: %w", err)
	}
	sum, tail, magic := t[:blake3Bytes], t[blake3Bytes:blake3Bytes+8], t[blake3Bytes+8:]
	if string(magic) != trailerMagic {
		return meta, 0, trailerMissing(r, table)
	}
	n := int64(binary.LittleEndian.Uint32(tail))
	version := binary.LittleEndian.Uint32(tail[4:])
	frame = seekable.SkipHeaderBytes + n + int64(trailerBytes)
	if frame > off {
		return meta, 0, fmt.Errorf("%w: metadata of %d bytes", ErrDamaged, n)
	}
	if n > maxMetadata {
		return meta, 0, fmt.Errorf("%w: metadata of %d bytes, at most %d", ErrLimit, n, maxMetadata)
	}
	b := make([]byte, seekable.SkipHeaderBytes+n)
	if err := readFull(r, b, off-frame); err != nil {
		return meta, 0, fmt.Errorf("read metadata: %w", err)
	}
	if err := checkSkipHeader(b, magicMetadata, frame-seekable.SkipHeaderBytes, "metadata frame"); err != nil {
		return meta, 0, err
	}
	doc := b[seekable.SkipHeaderBytes:]
	if got := trailerSum(doc, tail); string(got[:]) != string(sum) {
		return meta, 0, fmt.Errorf("%w: metadata: checksum", ErrDamaged)
	}
	if err := checkVersion(version); err != nil {
		return meta, 0, err
	}
	meta, err = decodeMetadata(doc)
	meta.version = int(version)
	return meta, frame, err
}

func checkVersion(version uint32) error {
	switch {
	case version == 0:
		return fmt.Errorf("%w: format version 0", ErrDamaged)
	case version > FormatVersion:
		return fmt.Errorf("%w: format %d is newer than format %d, which this program reads: upgrade snapd, or use zstd -d", ErrVersion, version, FormatVersion)
	case version < oldestVersion:
		return fmt.Errorf("%w: format %d, of a version of snapd that was never released, and this program reads format %d: use zstd -d",
			ErrVersion, version, FormatVersion)
	}
	return nil
}

// trailerMissing distinguishes another program's seekable file from an archive with a
// damaged trailer, by the last frame before the seek table.
func trailerMissing(r io.ReaderAt, table seekTable) error {
	var b [seekable.EntryBytes]byte
	last := table.off + seekable.SkipHeaderBytes + (table.frames-1)*seekable.EntryBytes
	if err := readFull(r, b[:], last); err != nil {
		return fmt.Errorf("read seek table: %w", err)
	}
	at := table.off - int64(binary.LittleEndian.Uint32(b[:]))
	if at >= 0 {
		if err := readFull(r, b[:4], at); err != nil {
			return fmt.Errorf("read metadata: %w", err)
		}
		if binary.LittleEndian.Uint32(b[:]) == magicMetadata {
			return fmt.Errorf("%w: metadata: trailer", ErrDamaged)
		}
	}
	return fmt.Errorf("%w: a seekable zstd file of another program", ErrNotArchive)
}
