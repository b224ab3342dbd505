package catalogfile

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"example.com/snapd/internal/durable"
	"example.com/snapd/internal/livedb"
	"example.com/snapd/internal/message"
)

// Quarantine is a damaged database that was kept, with its sidecars and its report.
type Quarantine struct {
	Name    string    `json:"name"` // the files' names begin with it: corrupted_20251031_120500
	At      time.Time `json:"at"`
	Bytes   int64     `json:"bytes"`             // of all its files
	Verdict string    `json:"verdict,omitempty"` // of its report
	Found   string    `json:"found,omitempty"`   // the first finding of its report
	// Unrestored counts the rows that could still be read in it and were not in what took its
	// place; nil where that is not known.
	Unrestored *int64 `json:"unrestored,omitempty"`

	files map[string]int64 // their sizes, by the suffix after Name
}

const (
	reportSuffix = ".json"
	maxReport    = 4 << 20 // bytes read of a report
	maxFound     = 500     // bytes taken of its first finding
)

// quarantineFile is the name of a file of a quarantine.
var quarantineFile = regexp.MustCompile(`^(corrupted_(\d{8}_\d{6})(?:_\d{1,3})?)(\.db|\.db-wal|\.db-journal|\.json)$`)

// IsQuarantine reports whether name is one that a quarantine, or a file of one, can have.
func IsQuarantine(name string) bool {
	return quarantineFile.MatchString(name) || quarantineFile.MatchString(name+reportSuffix)
}

// Quarantines lists the damaged databases that were kept in dir, the oldest first.
func Quarantines(dir string) (list []Quarantine, err error) {
	files, err := os.ReadDir(dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("list what was kept of damaged databases: %w", err)
	}
	at := make(map[string]int)
	for _, f := range files {
		part := quarantineFile.FindStringSubmatch(f.Name())
		if part == nil || !f.Type().IsRegular() {
			continue
		}
		info, err := f.Info()
		if errors.Is(err, fs.ErrNotExist) {
			continue
		} else if err != nil {
			return nil, fmt.Errorf("list what was kept of damaged databases: %w", err)
		}
		i, known := at[part[1]]
		if !known {
			taken, err := time.Parse(timeLayout, part[2])
			if err != nil {
				continue // no time: not a name of ours
			}
			i, at[part[1]] = len(list), len(list)
			list = append(list, Quarantine{Name: part[1], At: taken, files: map[string]int64{}})
		}
		list[i].Bytes += info.Size()
		list[i].files[part[3]] = info.Size()
	}
	list = slices.DeleteFunc(list, func(q Quarantine) bool { // a report alone keeps nothing
		_, reported := q.files[reportSuffix]
		return reported && len(q.files) == 1
	})
	for i := range list {
		list[i].readReport(dir)
	}
	slices.SortStableFunc(list, func(a, b Quarantine) int {
		if c := a.At.Compare(b.At); c != 0 {
			return c
		}
		return len(a.Name) - len(b.Name) // _2 before _10
	})
	return list, nil
}

// oneWord matches what can be a verdict.
var oneWord = regexp.MustCompile(`^[a-z_]{1,40}$`)

// unrestoredMember is what NoteUnrestored adds to a report.
const unrestoredMember = "unrestored"

// QuarantinesNamed takes the names of quarantines in dir, with or without an extension, out of ids. Errors: ErrNotFound.
func QuarantinesNamed(dir string, ids []string) (found []Quarantine, others []string, err error) {
	all, err := Quarantines(dir)
	if err != nil {
		return nil, nil, err
	}
	for _, id := range ids {
		if !IsQuarantine(id) {
			others = append(others, id)
			continue
		}
		i := slices.IndexFunc(all, func(q Quarantine) bool { return q.Name == strings.TrimSuffix(id, filepath.Ext(id)) })
		if i < 0 {
			return nil, nil, message.WithHint(fmt.Errorf("%s: %w", id, ErrNotFound), "list shows the damaged databases that were kept")
		}
		found = append(found, all[i])
	}
	return found, others, nil
}

// readReport takes what the report says, if there is one that can be read.
func (q *Quarantine) readReport(dir string) {
	report, err := q.report(dir)
	if err != nil {
		return
	}
	var verdict string
	if json.Unmarshal(report["verdict"], &verdict) == nil && oneWord.MatchString(verdict) {
		q.Verdict = verdict
	}
	var findings []struct{ Message string }
	if json.Unmarshal(report["findings"], &findings) == nil && len(findings) > 0 {
		q.Found = message.OneLine(findings[0].Message[:min(len(findings[0].Message), maxFound)])
	}
	var rows *int64
	if json.Unmarshal(report[unrestoredMember], &rows) == nil && rows != nil && *rows >= 0 {
		q.Unrestored = rows
	}
}

func (q *Quarantine) report(dir string) (report map[string]json.RawMessage, err error) {
	f, err := openOurs(filepath.Join(dir, q.Name+reportSuffix), os.O_RDONLY)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, maxReport))
	if err == nil {
		err = json.Unmarshal(text, &report)
	}
	return report, err
}

// NoteUnrestored adds to the report of the quarantine whose file path is, how many rows that can
// be read in it are not in what took its place.
func NoteUnrestored(path string, rows int64) error {
	part := quarantineFile.FindStringSubmatch(filepath.Base(path))
	if part == nil {
		return fmt.Errorf("%s is no quarantine", path)
	}
	q := Quarantine{Name: part[1]}
	report, err := q.report(filepath.Dir(path))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("report of %s: %w", q.Name, err)
	}
	if report == nil {
		report = map[string]json.RawMessage{}
	}
	report[unrestoredMember] = json.RawMessage(fmt.Sprint(rows))
	text, err := json.MarshalIndent(report, "", "  ")
	if err != nil {
		return fmt.Errorf("report of %s: %w", q.Name, err)
	}
	return durable.WriteFile(filepath.Join(filepath.Dir(path), q.Name+reportSuffix), append(text, '\n'), 0o600)
}

// keptAtEachEnd is how many quarantines stay at either end of the list, with any content.
const keptAtEachEnd = 3

// Thinned is a quarantine that was removed, and why.
type Thinned struct{ Name, Why string }

// ThinQuarantines removes those that keep nothing: all but the newest of several that are
// equal, byte by byte; and between the first and the last three, those of which it was found
// that every row is in what took their place. What is not known stays. It returns what was
// removed, also with an error.
func ThinQuarantines(dir string) (gone []Thinned, err error) {
	all, err := Quarantines(dir)
	if err != nil {
		return nil, err
	}
	var left []Quarantine
	for i, q := range all {
		same, err := q.equalOne(dir, all[i+1:])
		if err != nil {
			return gone, err
		}
		if same == "" {
			left = append(left, q)
			continue
		}
		if err := RemoveQuarantine(dir, q); err != nil {
			return gone, err
		}
		gone = append(gone, Thinned{q.Name, "it was the same as " + same})
	}
	for i, q := range left {
		if i < keptAtEachEnd || i >= len(left)-keptAtEachEnd || q.Unrestored == nil || *q.Unrestored > 0 {
			continue
		}
		if err := RemoveQuarantine(dir, q); err != nil {
			return gone, err
		}
		gone = append(gone, Thinned{q.Name, "every row in it was in what took its place"})
	}
	return gone, nil
}

// equalOne returns the name of the first of these whose files, but for the report, are equal.
func (q *Quarantine) equalOne(dir string, others []Quarantine) (string, error) {
	for _, o := range others {
		equal, err := q.equal(dir, o)
		if err != nil || equal {
			return o.Name, err
		}
	}
	return "", nil
}

func (q *Quarantine) equal(dir string, o Quarantine) (bool, error) {
	data := func(q *Quarantine) (suffixes []string) {
		for suffix := range q.files {
			if suffix != reportSuffix {
				suffixes = append(suffixes, suffix)
			}
		}
		slices.Sort(suffixes)
		return suffixes
	}
	suffixes := data(q)
	if !slices.Equal(suffixes, data(&o)) {
		return false, nil
	}
	for _, suffix := range suffixes {
		if q.files[suffix] != o.files[suffix] {
			return false, nil
		}
	}
	for _, suffix := range suffixes {
		equal, err := sameBytes(filepath.Join(dir, q.Name+suffix), filepath.Join(dir, o.Name+suffix), q.files[suffix])
		if err != nil || !equal {
			return false, err
		}
	}
	return true, nil
}

// sameBytes reports whether the files hold the same size bytes. One may still be open in a
// process that had the database open.
func sameBytes(a, b string, size int64) (bool, error) {
	f, err := openKept(a)
	if err != nil {
		return false, err
	}
	defer f.Close()
	g, err := openKept(b)
	if err != nil {
		return false, err
	}
	defer g.Close()
	one, other := make([]byte, 1<<20), make([]byte, 1<<20)
	for off := int64(0); off < size; off += int64(len(one)) {
		n := min(int64(len(one)), size-off)
		if _, err := f.ReadAt(one[:n], off); err != nil {
			return false, err
		}
		if _, err := g.ReadAt(other[:n], off); err != nil {
			return false, err
		}
		if !bytes.Equal(one[:n], other[:n]) {
			return false, nil
		}
	}
	return true, nil
}

// openKept opens a file of a quarantine as package livedb has such files opened.
func openKept(path string) (interface {
	io.ReaderAt
	io.Closer
}, error) {
	if strings.HasSuffix(path, ".db") {
		return livedb.Open(path)
	}
	return livedb.OpenSidecar(path)
}

// RemoveQuarantine removes all files of a quarantine, the report last: until then it is listed.
func RemoveQuarantine(dir string, q Quarantine) error {
	for _, suffix := range []string{".db", ".db-wal", ".db-journal", reportSuffix} {
		if err := durable.Remove(filepath.Join(dir, q.Name+suffix)); err != nil {
			return fmt.Errorf("remove %s: %w", q.Name, err)
		}
	}
	return nil
}

// Loses says what goes with a quarantine that is removed.
func (q Quarantine) Loses() string {
	switch {
	case q.Unrestored == nil:
		return "it is not known whether rows are only in there"
	case *q.Unrestored == 0:
		return "every row in it was in what took its place"
	}
	return fmt.Sprintf("%d rows could be read in it that were not in what took its place", *q.Unrestored)
}
