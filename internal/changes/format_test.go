package changes

import (
	"bytes"
	"errors"
	"testing"
)

// A part says where its pages are: nowhere that a writer does not put them.
func TestWhereAPartHasItsPages(t *testing.T) {
	t.Parallel()
	const from, pageSize, pages = 5000, 512, 3
	entries := make([]byte, pages*entryBytes)
	for i := range pages {
		byteOrder.PutUint32(entries[i*entryBytes:], uint32(i+1))
	}
	for _, v := range []struct {
		doc  partDocument
		good bool
	}{
		{partDocument{Bytes: 100}, true},
		{partDocument{Bytes: 100, Pages: 9}, true},
		{partDocument{Bytes: 100, Pages: partBytes/pageSize + 1}, false},
		{partDocument{}, false},
		{partDocument{Bytes: -1}, false},
		{partDocument{Bytes: 1 << 40}, false},
		{partDocument{Shared: &shared{At: 4000, Bytes: 1000, Pages: 8, First: 5}}, true},
		{partDocument{Shared: &shared{At: 4000, Bytes: 1000, Pages: 8, First: 6}}, false},
		{partDocument{Shared: &shared{At: 4001, Bytes: 1000, Pages: 8, First: 5}}, false},
		{partDocument{Shared: &shared{At: 4000, Bytes: 1000, Pages: 8, First: -1}}, false},
		{partDocument{Shared: &shared{At: -1, Bytes: 1000, Pages: 8}}, false},
		{partDocument{Shared: &shared{At: 4000, Bytes: -1 << 62, Pages: 8}}, false},
		{partDocument{Shared: &shared{At: 4000, Pages: 8}}, false},
		{partDocument{Shared: &shared{At: 4000, Bytes: 1000, Pages: 2}}, false},
		{partDocument{Shared: &shared{At: 4000, Bytes: 1000, Pages: 1 << 40}}, false},
		{partDocument{Bytes: 100, Shared: &shared{At: 4000, Bytes: 1000, Pages: 8}}, false},
	} {
		b, err := appendDocument(make([]byte, from), magicPart, from, v.doc, entries)
		if err != nil {
			t.Fatal(err)
		}
		b = append(b, make([]byte, 200)...)
		if _, err := readPart(bytes.NewReader(b), int64(len(b)), pageSize, from); (err == nil) != v.good || err != nil && !errors.Is(err, ErrDamaged) {
			t.Errorf("%+v, %+v: %v", v.doc, v.doc.Shared, err)
		}
	}
}

// Of any bytes: no panic, and no memory that they ask for.
func FuzzSegment(f *testing.F) {
	head, err := appendDocument(nil, magicHead, 0, testHead(512), nil)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(head)
	f.Fuzz(func(t *testing.T, b []byte) {
		s, err := openSegment("fuzz", bytes.NewReader(b), int64(len(b)))
		if err != nil {
			return
		}
		if _, end, err := s.captures(); err == nil && end > s.size {
			t.Fatal(end, s.size)
		}
		_, _ = s.listed()
		_ = s.whole()
	})
}
