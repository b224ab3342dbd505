package remote

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"example.com/snapd/internal/message"
	"example.com/snapd/internal/store"
)

// Kind says what an object is.
type Kind string

// The kinds of objects.
const (
	Description Kind = "description" // the one object that says what the others are
	Backup      Kind = "backup"      // an archive
	Segment     Kind = "segment"     // a sealed segment of the change log
	Catalog     Kind = "catalog"     // what is known of the backups at one time
	Writer      Kind = "writer"      // who writes here from then on, or was refused
)

// Name is the name of an object, taken apart. Fields that its kind has no use for are zero.
type Name struct {
	Kind   Kind
	Sealed bool // encrypted by age

	Number      uint64 // of a backup its Seq; of a catalog or a writer from 1
	ID          string // of a backup
	Timeline    uint64 // of a segment, as the others
	First, Last uint64 // captures
	At          time.Time
}

const (
	describing   = "snapd.json"
	backupsDir   = "backups/"
	changesDir   = "changes/"
	catalogDir   = "catalog/"
	writersDir   = "writers/"
	archiveExt   = ".db.zst"
	segmentExt   = ".chg.zst"
	catalogExt   = ".json.zst"
	writerExt    = ".json"
	sealedExt    = ".age"
	nameTime     = "20060102_150405"
	leastDigits  = 9
	maxNumber    = 1<<63 - 1
	escapePrefix = '.'
)

// String is the name as stores have it.
func (n Name) String() string {
	s := ""
	switch n.Kind {
	case Description:
		return describing
	case Writer:
		return writersDir + digits(n.Number) + writerExt
	case Backup:
		s = backupsDir + digits(n.Number) + "_" + escape(n.ID) + archiveExt
	case Segment:
		s = fmt.Sprintf("%s%d/%s-%s_%s%s", changesDir, n.Timeline, digits(n.First), digits(n.Last), n.At.UTC().Format(nameTime), segmentExt)
	case Catalog:
		s = catalogDir + digits(n.Number) + catalogExt
	}
	if n.Sealed {
		s += sealedExt
	}
	return s
}

// errLastNumber: there is an object with the last number that names can have. snapd does not get there.
var errLastNumber = errors.New("the numbers there are at their end: remove the object that has the last one, which snapd did not make")

// Check reports why a store cannot have an object of that name, or nil: the id of a backup may be too long.
func (n Name) Check() error {
	if max(n.Number, n.Timeline, n.Last) > maxNumber {
		return errLastNumber
	}
	err := store.CheckName(n.String())
	if err != nil && n.Kind == Backup {
		err = message.WithHint(fmt.Errorf("the name of backup %s is too long for a remote: %w", n.ID, err),
			"rename the database: a byte that is no letter or digit of English takes three there")
	}
	return err
}

// Parse is the reverse of String; ok is false for names that String never gives.
func Parse(s string) (n Name, ok bool) {
	rest, sealed := strings.CutSuffix(s, sealedExt)
	n.Sealed = sealed
	switch dir, name, _ := strings.Cut(rest, "/"); dir + "/" {
	case describing + "/":
		n.Kind, ok = Description, true
	case writersDir:
		n.Kind = Writer
		n.Number, ok = number(strings.CutSuffix(name, writerExt))
	case catalogDir:
		n.Kind = Catalog
		n.Number, ok = number(strings.CutSuffix(name, catalogExt))
	case backupsDir:
		n.Kind = Backup
		name, ok = strings.CutSuffix(name, archiveExt)
		seq, id, both := strings.Cut(name, "_")
		n.Number, ok = number(seq, ok && both)
		if ok {
			n.ID, ok = unescape(id)
		}
	case changesDir:
		n.Kind = Segment
		ok = n.parseSegment(name)
	}
	if !ok || n.String() != s || n.Check() != nil {
		return Name{}, false
	}
	return n, true
}

func (n *Name) parseSegment(name string) (ok bool) {
	timeline, name, _ := strings.Cut(name, "/")
	name, ok = strings.CutSuffix(name, segmentExt)
	span, at, dated := strings.Cut(name, "_")
	first, last, both := strings.Cut(span, "-")
	if n.Timeline, ok = number(timeline, ok && dated && both); !ok {
		return false
	}
	if n.First, ok = number(first, true); !ok {
		return false
	}
	if n.Last, ok = number(last, true); !ok || n.Last < n.First {
		return false
	}
	t, err := time.Parse(nameTime, at)
	n.At = t
	return err == nil
}

// ParseSegmentFile is the name of a segment of a timeline whose file in the backup directory is so called.
func ParseSegmentFile(timeline uint64, file string) (n Name, ok bool) {
	n, ok = Parse(fmt.Sprintf("%s%d/%s", changesDir, timeline, file))
	return n, ok && !n.Sealed
}

// digits is a number with zeros in front, so that names are in its order.
func digits(n uint64) string { return fmt.Sprintf("%0*d", leastDigits, n) }

// number reads what digits made, or a plain number; ok is that of the caller so far.
func number(s string, before bool) (n uint64, ok bool) {
	n, err := strconv.ParseUint(s, 10, 64)
	return n, before && err == nil && n > 0 && n <= maxNumber
}

// plain reports whether a byte of an id stands for itself.
func plain(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || c == '_' || c == '-'
}

// escape writes what object names may not have, and the dot, as a dot and two hexadecimal digits.
func escape(id string) string {
	var b strings.Builder
	for i := range len(id) {
		if c := id[i]; plain(c) {
			b.WriteByte(c)
		} else {
			fmt.Fprintf(&b, "%c%02x", escapePrefix, c)
		}
	}
	return b.String()
}

// unescape is the reverse of escape.
func unescape(s string) (id string, ok bool) {
	b := make([]byte, 0, len(s))
	for i := 0; i < len(s); i++ {
		if s[i] != escapePrefix {
			b = append(b, s[i])
			continue
		}
		if i+2 >= len(s) {
			return "", false
		}
		c, err := strconv.ParseUint(s[i+1:i+3], 16, 8)
		if err != nil {
			return "", false
		}
		b = append(b, byte(c))
		i += 2
	}
	return string(b), len(b) > 0
}
