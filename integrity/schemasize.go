package integrity

import (
	"errors"
	"fmt"
	"io"
	"math"

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
)

// judgeSchemaSize refuses a schema that is too large for an untrusted file, with a
// CheckError of ErrCodeLimit. pages is the image's size.
func (f *files) judgeSchemaSize(t *results, h *header, log *sqlitefile.Log, pages int64) error {
	if log.Untracked {
		return cannot(ErrCodeLimit, "", errors.New("the log is too large for a file from elsewhere"))
	}
	image := &loggedImage{files: f, pageSize: h.PageSize(), newest: map[uint32]int64{}}
	for i, n := range log.Committed {
		image.newest[n] = log.PageAt(int64(i) + 1)
	}
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
	pageSize int
	newest   map[uint32]int64 // offsets in the log, by page
}

func (i *loggedImage) ReadAt(p []byte, off int64) (int, error) {
	if at, logged := i.newest[uint32(off/int64(i.pageSize)+1)]; logged {
		return i.files.wal.ReadAt(p, at+off%int64(i.pageSize))
	}
	n, err := i.files.main.ReadAt(p, off)
	if err == io.EOF && off >= i.files.size-i.files.size%int64(i.pageSize) {
		// The image may end in pages that the file lacks; there is nothing in them.
		clear(p[n:])
		return len(p), nil
	}
	return n, err
}

// schemaSize counts what the rows of the schema's table hold, whatever is in them: not
// even their columns are told apart, so that no record means another thing here than
// to SQLite.
type schemaSize struct {
	file  sqlitefile.File
	seen  map[uint32]bool // pages of the tree
	words int64
	bytes int64
	word  bool // the byte before was part of a word
}

func (s *schemaSize) count() error {
	b := make([]byte, s.file.PageSize)
	for todo := []uint32{1}; len(todo) > 0; {
		n := todo[len(todo)-1]
		todo = todo[:len(todo)-1]
		if s.seen[n] {
			return fmt.Errorf("page %d belongs to two places: %w", n, sqlitefile.ErrMalformed)
		}
		s.seen[n] = true
		p, err := s.file.BTree(n, b)
		if err != nil {
			return err
		}
		if !p.Type().Table() {
			return fmt.Errorf("page %d is one of an index: %w", n, sqlitefile.ErrMalformed)
		}
		for i := range p.Cells() {
			c, err := p.Cell(i)
			if err != nil {
				return fmt.Errorf("page %d: %w", n, err)
			}
			if !p.Type().Leaf() {
				todo = append(todo, c.Child)
			} else if err := s.row(c); err != nil {
				return fmt.Errorf("page %d: %w", n, err)
			}
		}
		if !p.Type().Leaf() {
			todo = append(todo, p.RightChild())
		}
	}
	return nil
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

// text counts words and signs. A zero byte is half a character in UTF-16.
func (s *schemaSize) text(b []byte) error {
	for _, c := range b {
		switch {
		case c == 0:
		case c == ' ', c == '\t', c == '\n', c == '\r', c == '\f':
			s.word = false
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
	if s.words > maxSchemaWords || s.bytes > maxSchemaBytes {
		return &CheckError{Code: ErrCodeLimit, Hint: "if the file is your own, use snapd check --db FILE, or snapd verify for a backup",
			Err: fmt.Errorf("the schema has more than %d words of SQL, or %d bytes, which is more than a file from elsewhere may make SQLite parse", maxSchemaWords, maxSchemaBytes)}
	}
	return nil
}
