package changes

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"time"

	"github.com/zeebo/blake3"

	"example.com/snapd/internal/seekable"
)

// sealDocument ends a sealed segment.
type sealDocument struct {
	Captures int64  `json:"captures"`
	First    uint64 `json:"first"`
	Last     uint64 `json:"last"`
}

// listDocument begins the list of a sealed segment's captures, from which they are known in one read.
type listDocument struct {
	Source json.RawMessage `json:"source,omitempty"` // of the last one
}

const (
	// listedBytes is the size of a capture in a list: number, from, at, commits, pages of the image.
	listedBytes = 5 * 8
	// maxListed bounds a list. A segment with more captures has none, and is walked.
	maxListed = 1 << 18
)

// Listed is a capture as a list has it: what a point is chosen by.
type Listed struct {
	Seq            uint64
	Commits, Pages int64           // as a Capture's
	Source         json.RawMessage // of the last one in its segment, else nil
	from, at       int64           // Unix nanoseconds
}

// From and At are as those of a Capture.
func (c *Listed) From() time.Time { return time.Unix(0, c.from).UTC() }
func (c *Listed) At() time.Time   { return time.Unix(0, c.at).UTC() }

// capture is what can be known of it from a list.
func (c *Listed) capture() Capture {
	return Capture{Seq: c.Seq, From: c.From(), At: c.At(), Commits: c.Commits, Pages: c.Pages}
}

// appendEnd appends what ends the segment after its last capture: list, seal, seek table.
func (s *segment) appendEnd(captures []captured, end int64) (tail []byte, err error) {
	entries := seekable.AppendEntry(nil, uint32(s.start), 0)
	_, err = s.each(s.start, func(p *part) error {
		entries = seekable.AppendEntry(entries, uint32(p.at-p.from), 0)
		if p.Bytes > 0 {
			entries = seekable.AppendEntry(entries, uint32(p.Bytes), uint32(p.frame().pages*s.head.PageSize))
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	if len(captures) <= maxListed {
		if tail, err = appendList(nil, end, captures); err != nil {
			return nil, err
		}
		entries = seekable.AppendEntry(entries, uint32(len(tail)), 0)
	}
	h := blake3.New()
	if _, err := io.Copy(h, io.NewSectionReader(s.r, 0, end)); err != nil {
		return nil, fmt.Errorf("%s: read the change log: %w", s.name, err)
	}
	_, _ = h.Write(tail) // it never fails
	before := len(tail)
	seal := sealDocument{int64(len(captures)), captures[0].Seq, captures[len(captures)-1].Seq}
	if tail, err = appendDocument(tail, magicSeal, end+int64(before), seal, h.Sum(nil)); err != nil {
		return nil, err
	}
	entries = seekable.AppendEntry(entries, uint32(len(tail)-before), 0)
	n := int64(len(entries) / seekable.EntryBytes)
	tail = append(seekable.AppendTableHeader(tail, n), entries...)
	return seekable.AppendFooter(tail, uint32(n)), nil
}

// asListed leaves of captures what a list has.
func asListed(captures []captured) []Listed {
	list := make([]Listed, len(captures))
	for i, c := range captures {
		list[i] = Listed{Seq: c.Seq, Commits: c.Commits, Pages: c.Pages, from: c.From.UnixNano(), at: c.At.UnixNano()}
	}
	if n := len(list); n > 0 {
		list[n-1].Source = captures[n-1].Source
	}
	return list
}

func appendList(b []byte, at int64, captures []captured) ([]byte, error) {
	rows := make([]byte, 0, len(captures)*listedBytes)
	for _, c := range asListed(captures) {
		for _, field := range []int64{int64(c.Seq), c.from, c.at, c.Commits, c.Pages} {
			rows = byteOrder.AppendUint64(rows, uint64(field))
		}
	}
	return appendDocument(b, magicList, at, listDocument{captures[len(captures)-1].Source}, rows)
}

// listed returns the captures of a sealed segment: by its list, or where there is none that is whole, by a walk; with ErrDamaged
// those before the damage.
func (s *segment) listed() ([]Listed, error) {
	if list, ok := s.readList(); ok {
		return list, nil
	}
	captures, _, err := s.captures()
	return asListed(captures), err
}

func (s *segment) readList() (list []Listed, ok bool) {
	tail := make([]byte, 2*seekable.EntryBytes+seekable.FooterBytes) // the last two frames are list and seal
	if s.size < int64(len(tail)) || readFull(s.r, tail, s.size-int64(len(tail))) != nil {
		return nil, false
	}
	frames := int64(byteOrder.Uint32(tail[2*seekable.EntryBytes:]))
	seal := s.size - seekable.TableBytes(frames) - int64(byteOrder.Uint32(tail[seekable.EntryBytes:]))
	at := seal - int64(byteOrder.Uint32(tail))
	if at < s.start {
		return nil, false
	}
	var doc listDocument
	rows, end, err := readDocument(s.r, s.size, magicList, at, &doc)
	if err != nil || end != seal || len(rows) == 0 || len(rows)%listedBytes != 0 {
		return nil, false
	}
	list = make([]Listed, len(rows)/listedBytes)
	for i := range list {
		field := func(n int) int64 { return int64(byteOrder.Uint64(rows[i*listedBytes+n*8:])) }
		list[i] = Listed{Seq: uint64(field(0)), from: field(1), at: field(2), Commits: field(3), Pages: field(4)}
		if c := &list[i]; c.Seq == 0 || i > 0 && c.Seq <= list[i-1].Seq || c.Pages < 0 || c.Pages > maxPages {
			return nil, false
		}
	}
	list[len(list)-1].Source = doc.Source
	return list, true
}

// whole proves that the segment is sealed, and every byte before the seal.
func (s *segment) whole() error {
	list, end, err := s.captures()
	if err != nil {
		return err
	}
	var doc sealDocument
	var skipped listDocument
	if _, after, err := readDocument(s.r, s.size, magicList, end, &skipped); err == nil {
		end = after
	}
	want, after, err := readDocument(s.r, s.size, magicSeal, end, &doc)
	if err != nil {
		return fmt.Errorf("%s: seal: %w", s.name, err)
	}
	h := blake3.New()
	if _, err := io.Copy(h, io.NewSectionReader(s.r, 0, end)); err != nil {
		return fmt.Errorf("%s: read the change log: %w", s.name, err)
	}
	if int64(len(list)) != doc.Captures || !bytes.Equal(h.Sum(nil), want) || s.size <= after {
		return fmt.Errorf("%s: %w: it is not what was sealed", s.name, ErrDamaged)
	}
	return nil
}
