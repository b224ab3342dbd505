package integrity

import (
	"errors"
	"fmt"
	"math"
	"slices"

	"example.com/snapd/internal/sqlitefile"
)

// What the schema of an untrusted file may hold. SQLite parses all of it before the first
// statement runs, cannot be interrupted meanwhile, and takes up to 400 bytes of memory for
// a word or sign: a list of numbers of 15 MB costs gigabytes. So the schema's rows are
// counted before SQLite opens the file.
const (
	// maxSchemaWords bounds the words and signs: 4 MB of ordinary SQL, 0.8 MB of "2,2,2".
	maxSchemaWords = 800_000
	// maxSchemaBytes bounds the rows. It is no larger than sqlite.MaxValue: SQLite calls a
	// schema with a larger value damaged.
	maxSchemaBytes = 16 << 20
	// maxSchemaPages bounds the pages of the tree: crafted ones may be empty.
	maxSchemaPages = 4 * maxSchemaBytes / sqlitefile.MinPageSize
)

// judgeSchemaSize refuses a schema that is too large for an untrusted file, with a
// CheckError of ErrCodeLimit. pages is the image's size.
func (f *files) judgeSchemaSize(t *results, h *header, log *sqlitefile.Log, pages int64) error {
	if log.Untracked {
		return cannot(ErrCodeLimit, "", errors.New("the log is too large for a file from elsewhere"))
	}
	image := &loggedImage{files: f, pageSize: int64(h.PageSize()), log: log}
	for i, n := range log.Committed {
		image.frames = append(image.frames, uint64(n)<<32|uint64(i+1))
	}
	slices.Sort(image.frames)
	s := &schemaSize{
		file: sqlitefile.File{R: image, PageSize: h.PageSize(), Usable: h.Usable(), Pages: uint32(min(pages, math.MaxUint32))},
		seen: map[uint32]bool{},
	}
	err := s.count()
	if errors.Is(err, sqlitefile.ErrMalformed) {
		t.add(CodeSchemaTable, "the pages that hold the schema are damaged: %v", err)
		return nil
	}
	return shrunk(err)
}

// loggedImage reads a database file page by page, with the pages of its log over it.
type loggedImage struct {
	files    *files
	pageSize int64
	log      *sqlitefile.Log
	frames   []uint64 // of the log, sorted: the page's number, and the frame's in the low 32 bits
}

func (i *loggedImage) ReadAt(p []byte, off int64) (int, error) {
	if at, logged := i.logged(off/i.pageSize + 1); logged {
		return i.files.wal.ReadAt(p, at)
	}
	return i.files.main.ReadAt(p, off)
}

// logged returns the offset of a page's newest bytes in the log.
func (i *loggedImage) logged(page int64) (off int64, ok bool) {
	n, _ := slices.BinarySearch(i.frames, uint64(page+1)<<32)
	if n == 0 || int64(i.frames[n-1]>>32) != page {
		return 0, false
	}
	return i.log.PageAt(int64(uint32(i.frames[n-1]))), true
}

// schemaSize counts what the rows of the schema's table hold, without reading them: not
// even their columns are distinguished, so that no record means another thing here than
// to SQLite.
type schemaSize struct {
	file  sqlitefile.File
	seen  map[uint32]bool // pages of the tree
	words int64
	bytes int64
	word  bool // the byte before was part of a word
}

func (s *schemaSize) count() error {
	todo, err := s.reach(nil, 1)
	b := make([]byte, s.file.PageSize)
	for err == nil && len(todo) > 0 {
		n := todo[len(todo)-1]
		todo, err = s.page(todo[:len(todo)-1], n, b)
		if err != nil {
			err = fmt.Errorf("page %d: %w", n, err)
		}
	}
	return err
}

// reach appends a page of the tree to those that are to be counted.
func (s *schemaSize) reach(todo []uint32, n uint32) ([]uint32, error) {
	if s.seen[n] {
		return nil, fmt.Errorf("page %d belongs to two places: %w", n, sqlitefile.ErrMalformed)
	}
	s.seen[n] = true
	return append(todo, n), s.bounded()
}

// page counts page n, which is read into b, and appends its children to todo.
func (s *schemaSize) page(todo []uint32, n uint32, b []byte) ([]uint32, error) {
	p, err := s.file.BTree(n, b)
	if err != nil {
		return nil, err
	}
	if !p.Type().Table() {
		return nil, fmt.Errorf("it is one of an index: %w", sqlitefile.ErrMalformed)
	}
	for i := range p.Cells() {
		c, err := p.Cell(i)
		switch {
		case err != nil:
		case p.Type().Leaf():
			err = s.row(c)
		default:
			todo, err = s.reach(todo, c.Child)
		}
		if err != nil {
			return nil, err
		}
	}
	if p.Type().Leaf() {
		return todo, nil
	}
	return s.reach(todo, p.RightChild())
}

// row counts one row with its overflow pages.
func (s *schemaSize) row(c sqlitefile.Cell) error {
	if c.Size > math.MaxInt32 { // SQLite takes 32 bits of it
		return fmt.Errorf("row %d of %d bytes: %w", c.RowID, c.Size, sqlitefile.ErrMalformed)
	}
	s.bytes += c.Size
	left := c.Size - int64(len(c.Local))
	if err := s.text(c.Local); err != nil || left == 0 {
		return err
	}
	each := int64(s.file.Usable - 4)
	for page, err := range s.file.Overflow(c.Overflow, (left+each-1)/each) {
		if err != nil {
			return fmt.Errorf("row %d: %w", c.RowID, err)
		}
		part := page.Content[:min(int64(len(page.Content)), left)]
		left -= int64(len(part))
		if err := s.text(part); err != nil {
			return err
		}
	}
	return nil
}

// text counts words and signs.
func (s *schemaSize) text(b []byte) error {
	for _, c := range b {
		switch {
		case c == ' ', c == '\t', c == '\n', c == '\r', c == '\f':
			s.word = false
		case c < ' ': // is no SQL, but of the record, or half a character in UTF-16
		case isWord(rune(c)), c >= 0x80:
			if !s.word {
				s.words++
			}
			s.word = true
		default:
			s.words++
			s.word = false
		}
	}
	return s.bounded()
}

// bounded refuses a schema that is too large.
func (s *schemaSize) bounded() error {
	if s.words <= maxSchemaWords && s.bytes <= maxSchemaBytes && len(s.seen) <= maxSchemaPages {
		return nil
	}
	return &CheckError{Code: ErrCodeLimit, Hint: "if the file is your own, use snapd check --db FILE, or snapd verify for a backup",
		Err: fmt.Errorf("the schema is larger than SQLite may parse of a file from elsewhere: more than %d words and signs of SQL, or %d MiB", maxSchemaWords, maxSchemaBytes>>20)}
}
