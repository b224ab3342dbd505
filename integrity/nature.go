package integrity

import (
	"bytes"
	"strconv"
	"unicode/utf8"

	"example.com/snapd/internal/sqlitefile"
)

// sampleSize is how much of a file is looked at to say what became of it.
const sampleSize = 64 << 10

// mangled says in words what a program that took the file for text made of it; "" where
// nothing speaks for that. It proves nothing by itself, and explains damage that was found.
func mangled(sample []byte) string {
	feeds, pairs := bytes.Count(sample, []byte("\n")), bytes.Count(sample, []byte("\r\n"))
	replaced := bytes.Count(sample, []byte("\ufffd"))
	switch {
	case feeds >= 8 && feeds == pairs:
		return "the file was transferred or converted as text: a carriage return stands before every line feed (CRLF)"
	case replaced >= 16 && validUTF8(sample):
		return "the file was read and written as text: bytes that are no UTF-8 were replaced (U+FFFD), and are lost"
	case nonASCII(sample) >= 32 && validUTF8(sample):
		return "the file was converted from one text encoding to another: its bytes are UTF-8 throughout"
	}
	return ""
}

// lineEndsCut says so where a program that took the file for text took out the carriage return before
// each line feed: none is left, and the pages begin ever further before their places.
func lineEndsCut(sample []byte) string {
	h := sqlitefile.HeaderOf(sample)
	if h == nil || h.PageSize() == 0 || bytes.Contains(sample, []byte("\r\n")) {
		return ""
	}
	size, feeds := h.PageSize(), bytes.Count(sample, []byte("\n"))
	gone, steps := 0, 0
	for at := size; at-gone+size <= len(sample) && gone <= feeds; at += size {
		place := sample[:at-gone+size]
		if listsCells(place[at-gone:]) {
			continue // as far from its place as the page before
		}
		for more := 1; more <= min(size, at-gone-sqlitefile.HeaderSize); more++ {
			if listsCells(place[at-gone-more:][:size]) {
				gone, steps = gone+more, steps+1
				break
			}
		}
	}
	if steps < 2 || gone > feeds {
		return ""
	}
	return "the file was transferred or converted as text: the carriage return before each line feed was taken out (CRLF to LF), and is lost"
}

// listsCells reports whether b is a b-tree page by its header and by the places of its cells, which
// hold no text.
func listsCells(b []byte) bool {
	kind := sqlitefile.PageType(b[0])
	if !kind.Valid() {
		return false
	}
	list := 8
	if !kind.Leaf() {
		list = 12
	}
	u16 := func(at int) int { return int(b[at])<<8 | int(b[at+1]) }
	cells, content := u16(3), u16(5)
	if content == 0 {
		content = 65536
	}
	if cells < 3 || b[7] > 60 || content > len(b) || content < list+2*cells {
		return false
	}
	for i := range cells {
		if at := u16(list + 2*i); at < content || at >= len(b) {
			return false
		}
	}
	return true
}

// validUTF8 reports whether all of b is UTF-8, but for a character cut off at its end.
func validUTF8(b []byte) bool {
	for range utf8.UTFMax - 1 {
		if utf8.Valid(b) {
			return true
		}
		b = b[:max(len(b)-1, 0)]
	}
	return utf8.Valid(b)
}

func nonASCII(b []byte) (n int) {
	for _, c := range b {
		if c >= utf8.RuneSelf {
			n++
		}
	}
	return n
}

// looksRandom reports whether the bytes are as evenly spread as those of a cipher. Its
// statistic is chi-squared with 255 degrees of freedom: beyond 400 for one in a million of
// random samples, and in the thousands for pages of a database.
func looksRandom(b []byte) bool {
	if len(b) < 1024 {
		return false
	}
	var counts [256]int
	for _, c := range b {
		counts[c]++
	}
	expected, sum := float64(len(b))/256, 0.0
	for _, n := range counts {
		d := float64(n) - expected
		sum += d * d / expected
	}
	return sum < 400
}

// pagesFollow returns the page size with which the pages after the first one are those of a
// database; 0 for none.
func pagesFollow(sample []byte) int {
	for size := 512; size <= 65536 && 2*size <= len(sample); size *= 2 {
		trees, others := 0, 0
		for at := size; at+8 <= len(sample) && trees+others < 8; at += size {
			if holdsCells(sample[at:min(at+size, len(sample))], size) {
				trees++
			} else {
				others++
			}
		}
		if trees >= 2 && trees >= 2*others || trees == 1 && others == 0 {
			return size
		}
	}
	return 0
}

// holdsCells reports whether b is a b-tree page whose first cell can be read.
func holdsCells(b []byte, size int) bool {
	p, err := sqlitefile.ParsePage(b, 2, size)
	if err != nil || p.Cells() == 0 {
		return false
	}
	_, err = p.Cell(0)
	return err == nil
}

// natureOf says what a file that does not begin as a database does begins with. sample is its
// beginning.
func natureOf(sample []byte) string {
	head := sample[:min(len(sample), sqlitefile.HeaderSize)]
	var wal sqlitefile.WALHeader
	copy(wal[:], head)
	switch {
	case wal.Valid():
		return "the header of a write-ahead log: it is a -wal file, without its database"
	case bytes.HasPrefix(head, []byte(sqlitefile.JournalMagic)):
		return "the header of a rollback journal: it is a -journal file, without its database"
	}
	if size := pagesFollow(sample); size > 0 {
		return looksLike(head) + ": its first page was overwritten; pages of a database follow, of " + plainSize(size)
	}
	if m := mangled(sample); m != "" && looksLike(head) != "text" {
		return looksLike(head) + ": " + m
	}
	if looksRandom(sample) {
		return "bytes without any pattern: it is encrypted (by SQLCipher, SQLite's SEE or a program of its own), or was overwritten at random"
	}
	return looksLike(head)
}

func plainSize(n int) string { return strconv.Itoa(n) + " bytes each" }
