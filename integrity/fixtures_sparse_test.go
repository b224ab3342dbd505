package integrity

import (
	"encoding/binary"
	"os"
	"testing"
)

// sparse is a database larger than what its pages take on the disk.
type sparse struct {
	t     *testing.T
	f     *os.File
	size  int // of a page, in bytes
	pages uint32
}

func newSparse(t *testing.T, path string, size, pages int) *sparse {
	t.Helper()
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	if err := f.Truncate(int64(size) * int64(pages)); err != nil {
		t.Fatal(err)
	}
	return &sparse{t, f, size, uint32(pages)}
}

func (s *sparse) write(page uint32, b []byte) {
	s.t.Helper()
	if _, err := s.f.WriteAt(b, int64(page-1)*int64(s.size)); err != nil {
		s.t.Fatal(err)
	}
}

// relink replaces the child pointer from by to in an interior page of a table.
func (s *sparse) relink(page []byte, from, to uint32) {
	s.t.Helper()
	links := []int{8} // the right-most child
	for i := range int(binary.BigEndian.Uint16(page[3:])) {
		links = append(links, int(binary.BigEndian.Uint16(page[12+2*i:])))
	}
	for _, at := range links {
		if binary.BigEndian.Uint32(page[at:]) == from {
			binary.BigEndian.PutUint32(page[at:], to)
			return
		}
	}
	s.t.Fatalf("page %d is no child", from)
}

// finish writes the list of free pages and page 1, and closes the file.
func (s *sparse) finish(first []byte, free []uint32) {
	s.t.Helper()
	count := len(free)
	head := free[0]
	for len(free) > 0 {
		trunk := free[0]
		leaves := free[1:]
		leaves = leaves[:min(len(leaves), s.size/4-8)] // SQLite file format §1.5
		free = free[1+len(leaves):]
		b := make([]byte, 8+4*len(leaves))
		if len(free) > 0 {
			binary.BigEndian.PutUint32(b, free[0])
		}
		binary.BigEndian.PutUint32(b[4:], uint32(len(leaves)))
		for i, n := range leaves {
			binary.BigEndian.PutUint32(b[8+4*i:], n)
		}
		s.write(trunk, b)
	}
	for off, v := range map[int]uint32{28: s.pages, 32: head, 36: uint32(count)} {
		binary.BigEndian.PutUint32(first[off:], v)
	}
	s.write(1, first)
	if err := s.f.Close(); err != nil {
		s.t.Fatal(err)
	}
}
