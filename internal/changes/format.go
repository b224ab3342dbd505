package changes

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/zeebo/xxh3"

	"example.com/snapd/internal/archive"
	"example.com/snapd/internal/seekable"
)

// ErrDamaged: a segment is not what was written.
var ErrDamaged = errors.New("the change log is damaged")

var byteOrder = binary.LittleEndian

// formatVersion is in every head.
const formatVersion = 1

// Skippable frames; the numbers follow those of package archive.
const (
	magicHead = 0x184D2A57
	magicPart = 0x184D2A58
	magicSeal = 0x184D2A59
	magicList = 0x184D2A5A
)

const (
	lengthBytes   = 4
	checksumBytes = 8
	digestBytes   = len(archive.Digest{})
	entryBytes    = 4 + digestBytes
	blake3Bytes   = 32

	// partBytes is how much content a part has at most.
	partBytes = 1 << 20
	// mostDocuments have no more bytes: one read is enough for them.
	mostDocuments = 1 << 10
	// maxPages is how many pages an image has at most.
	maxPages = 1<<32 - 2
	// maxDocument bounds the JSON of a head, a part or a seal.
	maxDocument = 64 << 10
	// maxPayload bounds the rest of a skippable frame: the smallest pages have 512 bytes.
	maxPayload = lengthBytes + maxDocument + partBytes/512*entryBytes + checksumBytes
)

// Head is what all captures of a log have in common.
type Head struct {
	Version  int    `json:"version"`
	Timeline uint64 `json:"timeline"`
	Database string `json:"database"` // base name
	Base     string `json:"base"`     // id of the backup whose image the first capture follows
	PageSize int    `json:"page_size"`
	PageSeed string `json:"page_seed"`
}

func (h Head) seed() (archive.Seed, error) { return archive.ParseSeed(h.PageSeed) }

func (h Head) check() error {
	if h.Version != formatVersion {
		return fmt.Errorf("change log of format %d: this program reads format %d", h.Version, formatVersion)
	}
	if h.PageSize < 512 || h.PageSize > 65536 || h.PageSize&(h.PageSize-1) != 0 {
		return fmt.Errorf("%w: page size %d", ErrDamaged, h.PageSize)
	}
	if _, err := h.seed(); err != nil {
		return fmt.Errorf("%w: %w", ErrDamaged, err)
	}
	return nil
}

// Capture is a recovery point: the state that a look at the database found, as the pages
// in which it differs from the capture before it.
type Capture struct {
	Seq     uint64    `json:"seq"` // within the timeline
	From    time.Time `json:"from"`
	At      time.Time `json:"at"`                // committed after From, seen at At
	Commits int64     `json:"commits,omitempty"` // 0 where they were not counted
	Pages   int64     `json:"pages"`             // of the image
	Sum     string    `json:"sum"`               // of the image: archive.Sum's digits
	Merged  int64     `json:"merged,omitempty"`  // captures before it that Thin took out
	// Source is where the look found the database's files, for the one who goes on from there.
	Source json.RawMessage `json:"source,omitempty"`
}

func (c Capture) check() error {
	if _, err := archive.ParseSum(c.Pages, c.Sum); c.Seq == 0 || c.Pages < 0 || c.Pages > maxPages || err != nil {
		return fmt.Errorf("%w: capture %d of %d pages: %w", ErrDamaged, c.Seq, c.Pages, err)
	}
	return nil
}

// part is the index of a part, and where its pages are.
type part struct {
	partDocument
	entries []entry
	from    int64 // of the index
	at      int64 // of the frame with the pages
}

type partDocument struct {
	Bytes   int64    `json:"bytes"`             // of the frame that follows, 0 for none
	Pages   int      `json:"pages,omitempty"`   // in that frame, where parts that follow have some of them
	Shared  *shared  `json:"shared,omitempty"`  // where the pages are, if they are in the frame of a part before
	Capture *Capture `json:"capture,omitempty"` // in the last part of each
	Begin   int64    `json:"begin,omitempty"`   // with it, where its first part begins
}

// shared is the frame of a part before; some of its pages are another one's.
type shared struct {
	At    int64 `json:"at"`
	Bytes int64 `json:"bytes"`
	Pages int   `json:"pages"` // that it has
	First int   `json:"first"` // index of this part's first page
}

// frame is where the pages of a part are.
func (p *part) frame() storedPart {
	if s := p.Shared; s != nil {
		return storedPart{bytes: uint32(s.Bytes), at: s.At, pages: s.Pages, first: s.First}
	}
	return storedPart{bytes: uint32(p.Bytes), at: p.at, pages: max(p.Pages, len(p.entries))}
}

// check reports a frame that the part cannot have: it begins before the part's own index ends.
func (p *part) check(pageSize int) error {
	f, has := p.frame(), p.Bytes
	if s := p.Shared; s != nil {
		has = s.Bytes
		if p.Bytes != 0 || p.Pages != 0 || s.At < 0 || s.At > p.from-s.Bytes || s.First < 0 || s.First > s.Pages-len(p.entries) {
			return fmt.Errorf("%w: a part with the frame at %d", ErrDamaged, s.At)
		}
	}
	if f.pages < len(p.entries) || f.pages > max(partBytes/pageSize, 1) || has < 0 || has > seekable.Bound(f.pages*pageSize) || (has == 0) != (len(p.entries) == 0) {
		return fmt.Errorf("%w: a part of %d pages, in a frame of %d in %d bytes", ErrDamaged, len(p.entries), f.pages, has)
	}
	return nil
}

type entry struct {
	pgno   uint32
	digest archive.Digest
}

// end is where the next part begins.
func (p *part) end() int64 { return p.at + p.Bytes }

// appendDocument appends a skippable frame with a document, and more bytes. at is the offset of the
// frame in its file, which its checksum is seeded with: one in another's place has a wrong one.
func appendDocument(b []byte, magic uint32, at int64, document any, more []byte) ([]byte, error) {
	doc, err := json.Marshal(document)
	if err != nil {
		return nil, err
	}
	if len(doc) > maxDocument {
		return nil, fmt.Errorf("a document of %d bytes, at most %d", len(doc), maxDocument)
	}
	start := len(b)
	b = seekable.AppendSkipHeader(b, magic, lengthBytes+len(doc)+len(more)+checksumBytes)
	b = byteOrder.AppendUint32(b, uint32(len(doc)))
	b = append(b, doc...)
	b = append(b, more...)
	return byteOrder.AppendUint64(b, xxh3.HashSeed(b[start:], uint64(at))), nil
}

// errEnd: there is no whole frame of the kind that is asked for.
var errEnd = fmt.Errorf("%w: no whole frame", ErrDamaged)

// readDocument reads such a frame into document; end is where it ends.
func readDocument(r io.ReaderAt, size int64, magic uint32, at int64, document any) (more []byte, end int64, err error) {
	const header = seekable.SkipHeaderBytes
	if size-at < header {
		return nil, at, errEnd
	}
	b := make([]byte, min(size-at, mostDocuments))
	if err := readFull(r, b, at); err != nil {
		return nil, at, err
	}
	n := int64(byteOrder.Uint32(b[4:]))
	if byteOrder.Uint32(b) != magic || n < lengthBytes+checksumBytes || n > maxPayloadOf(magic) || n > size-at-header {
		return nil, at, errEnd
	}
	if read := int64(len(b)); header+n > read {
		b = append(make([]byte, 0, header+n), b...)[:header+n]
		if err := readFull(r, b[read:], at+read); err != nil {
			return nil, at, err
		}
	}
	b = b[:header+n]
	end = at + int64(len(b))
	body := b[:len(b)-checksumBytes]
	if xxh3.HashSeed(body, uint64(at)) != byteOrder.Uint64(b[len(body):]) {
		return nil, at, errEnd
	}
	body = body[header:]
	length := int64(byteOrder.Uint32(body))
	if body = body[lengthBytes:]; length > int64(len(body)) {
		return nil, at, errEnd
	}
	if err := json.Unmarshal(body[:length], document); err != nil {
		return nil, at, fmt.Errorf("%w: %w", ErrDamaged, err)
	}
	return body[length:], end, nil
}

func maxPayloadOf(magic uint32) int64 {
	if magic == magicList {
		return lengthBytes + maxDocument + maxListed*listedBytes + checksumBytes
	}
	return int64(maxPayload)
}

// readFull reads all of b. A file that ends before is damaged.
func readFull(r io.ReaderAt, b []byte, off int64) error {
	n, err := r.ReadAt(b, off)
	if n == len(b) {
		return nil
	}
	if err == nil || errors.Is(err, io.EOF) {
		return fmt.Errorf("%w: it ends within %d bytes at %d", ErrDamaged, len(b), off)
	}
	return fmt.Errorf("read the change log: %w", err)
}

// readPart reads the index of the part at an offset; errEnd where there is none, or not all of it.
func readPart(r io.ReaderAt, size int64, pageSize int, at int64) (*part, error) {
	p := &part{from: at}
	more, end, err := readDocument(r, size, magicPart, at, &p.partDocument)
	if err != nil {
		return nil, err
	}
	n := len(more) / entryBytes
	if len(more)%entryBytes != 0 || n*pageSize > max(partBytes, pageSize) {
		return nil, fmt.Errorf("%w: a part of %d pages", ErrDamaged, n)
	}
	p.entries = make([]entry, n)
	for i := range p.entries {
		e := more[i*entryBytes:]
		p.entries[i] = entry{byteOrder.Uint32(e), archive.Digest(e[4:])}
		if pgno := p.entries[i].pgno; pgno == 0 || i > 0 && pgno <= p.entries[i-1].pgno {
			return nil, fmt.Errorf("%w: page %d after page %d", ErrDamaged, pgno, p.entries[max(i-1, 0)].pgno)
		}
	}
	p.at = end
	if err := p.check(pageSize); err != nil {
		return nil, err
	}
	if p.end() > size {
		return nil, errEnd
	}
	if p.Capture != nil {
		return p, p.Capture.check()
	}
	return p, nil
}
