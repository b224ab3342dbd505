package catalogfile

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"example.com/snapd/catalog"
	"example.com/snapd/internal/archive"
	"example.com/snapd/internal/testdb"
)

// specimen is a backup directory with an automatic, a pinned, and a manual
// backup with a note, as damage is tried on.
type specimen struct {
	dir     string
	doc     *document
	text    []byte    // catalog.json
	archive []byte    // of the first backup
	facts   []reading // from the archives
}

func newSpecimen(t *testing.T) *specimen {
	t.Helper()
	s := &specimen{dir: t.TempDir(), doc: newDocument()}
	at := time.Date(2025, 10, 31, 12, 0, 0, 0, time.UTC)
	for i, kind := range []catalog.Kind{catalog.Auto, catalog.Auto, catalog.Manual} {
		made := at.Add(time.Duration(i) * time.Hour)
		id := fmt.Sprintf("data_backup_%s_%s", kind, made.Format(timeLayout))
		var b bytes.Buffer
		w, err := archive.NewWriter(&b, archive.WriterOptions{PageSize: 512, FrameBytes: 512, Workers: 1})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write(bytes.Repeat([]byte{'a' + byte(i), 7, 1, 3}, 256)); err != nil {
			t.Fatal(err)
		}
		info, err := w.Finish(archive.Facts{Seq: uint64(i + 1), Database: "data.db", Kind: string(kind), Trigger: "schedule", CreatedAt: made})
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(s.dir, fileOf(id)), b.Bytes(), 0o600); err != nil {
			t.Fatal(err)
		}
		if i == 0 {
			s.archive = b.Bytes()
		}
		e := NewEntry(id, info)
		e.Verification = catalog.Verification{State: catalog.Verified, Level: "quick", At: &made}
		e.Source = []byte(`{"ino":1}`)
		e.Pinned = i == 1
		if i == 2 {
			e.Note = "before \"import\""
		}
		if err := s.doc.put(e); err != nil {
			t.Fatal(err)
		}
	}
	s.doc.state.Succeeded(catalog.TriggerSchedule, at)
	s.text = mustEncode(t, s.doc)
	found, err := (&Catalog{dir: s.dir, base: "data"}).gather(t.Context())
	if err != nil || len(found.read) != len(s.doc.entries) {
		t.Fatalf("%+v, %v", found, err)
	}
	s.facts = found.read
	return s
}

// judge says what is wrong with how text is taken for the specimen's catalog: it
// must mean the same, or be rebuilt from the archives without losing an entry,
// its place, or a pin.
func (s *specimen) judge(text []byte) (damaged bool, err error) {
	d, cause := decode(text)
	if cause == nil {
		if got, err := encode(d); err != nil || !bytes.Equal(got, s.text) {
			return false, fmt.Errorf("it is read as another catalog: %w:\n%s", err, got)
		}
		return false, nil
	}
	if !errors.Is(cause, ErrDamaged) || errors.Is(cause, ErrVersion) {
		return true, fmt.Errorf("not called damaged: %w", cause)
	}
	c := &Catalog{dir: s.dir, base: "data", now: time.Now}
	d, _ = c.reassemble(cause, salvage(bytes.NewReader(text)), gathered{read: slices.Clone(s.facts)})
	return true, s.kept(d.entries)
}

// kept compares entries, oldest first, with the specimen's.
func (s *specimen) kept(entries []catalog.Entry) error {
	if len(entries) != len(s.doc.entries) {
		return fmt.Errorf("%d entries are left: %+v", len(entries), entries)
	}
	last := uint64(0)
	for i, e := range entries {
		want := s.doc.entries[i]
		switch {
		case e.ID != want.ID || e.File != want.File || e.Seq <= last || validateEntry(&e) != nil:
			return fmt.Errorf("entry %d is %+v", i, e)
		case e.Verification.State == catalog.Verified:
			return fmt.Errorf("%s counts as verified without proof", e.ID)
		case want.Pinned && !e.Pinned:
			return fmt.Errorf("the pin of %s is lost", e.ID)
		}
		want.Verification, want.Pinned, want.Note, want.Source, want.Seq = e.Verification, e.Pinned, e.Note, e.Source, e.Seq
		if !reflect.DeepEqual(e, want) {
			return fmt.Errorf("%+v is not what its archive says", e)
		}
		last = e.Seq
	}
	return nil
}

// Lost: a pin, the order, or the proof of a backup, to one flipped bit that leaves
// good JSON: a name becomes an unknown one, a number another. Or all use of the
// program, when the version looks newer.
func TestEveryBitFlipOfTheCatalog(t *testing.T) {
	t.Parallel()
	s := newSpecimen(t)
	if damaged, err := s.judge(s.text); damaged || err != nil {
		t.Fatalf("undamaged: %v", err)
	}
	harmless, flips, every := 0, 0, testdb.Sampled(3) // each byte has two or three
	for i := range s.text {
		for bit := range 8 {
			if (8*i+bit)%every != 0 {
				continue
			}
			flips++
			s.text[i] ^= 1 << bit
			flipped := bytes.Clone(s.text)
			s.text[i] ^= 1 << bit
			damaged, err := s.judge(flipped)
			if err != nil {
				t.Fatalf("byte %d of %d (%q), bit %d: %v", i, len(s.text), flipped[max(0, i-20):min(len(flipped), i+20)], bit, err)
			}
			if !damaged {
				harmless++
			}
		}
	}
	t.Logf("%d of %d flips change nothing that is read", harmless, flips)
	if harmless == 0 || harmless > flips/2 {
		t.Error("hardly so: only the case of member names does not matter, and those of the sum")
	}
}

// Lost: a backup or a pin to a catalog that was cut, at whichever end, or partly
// overwritten.
func TestEveryTruncationOfTheCatalog(t *testing.T) {
	t.Parallel()
	s := newSpecimen(t)
	for n := 0; n < len(s.text); n += testdb.Sampled(3) {
		for what, text := range map[string][]byte{
			"cut to":            s.text[:n],
			"first bytes lost:": s.text[n+1:],
			"zeros from":        slices.Concat(s.text[:n], make([]byte, len(s.text)-n)),
			"zero run at":       slices.Concat(s.text[:n], make([]byte, min(64, len(s.text)-n)), s.text[min(n+64, len(s.text)):]),
			"byte lost:":        slices.Concat(s.text[:n], s.text[n+1:]),
			"twice until":       slices.Concat(s.text[:n], s.text),
		} {
			damaged, err := s.judge(text)
			if mustBe := what == "cut to" || what == "zeros from"; err != nil || mustBe && !damaged {
				t.Fatalf("%s %d of %d: damaged %v, %v", what, n, len(s.text), damaged, err)
			}
		}
	}
}

// Lost: the whole way from the file to the list and back to the file, for some of that damage.
func TestDamagedBitsOnDisk(t *testing.T) {
	t.Parallel()
	s := newSpecimen(t)
	for i := 0; i < len(s.text); i += 61 {
		text := bytes.Clone(s.text)
		text[i] ^= 1 << (i % 8)
		onDisk(t, s, text)
		onDisk(t, s, s.text[:i])
	}
}

// onDisk opens the catalog that text is the file of.
func onDisk(t *testing.T, s *specimen, text []byte) {
	t.Helper()
	path := filepath.Join(s.dir, catalogName)
	if err := os.WriteFile(path, text, 0o600); err != nil {
		t.Fatal(err)
	}
	_, cause := decode(text)
	c, err := Open(s.dir, "data")
	if err != nil {
		t.Fatalf("%q: %v", text, err)
	}
	list, err := c.Entries()
	if err != nil {
		t.Fatalf("%q: %v", text, err)
	}
	ch := c.TakeChanges()
	if cause == nil {
		if !ch.Empty() || !list[0].Usable() {
			t.Errorf("%q: %v", text, ch.Lines())
		}
		return
	}
	slices.Reverse(list)
	if err := s.kept(list); err != nil {
		t.Errorf("%q: %v", text, err)
	}
	kept, err := os.ReadFile(ch.SetAside)
	if err != nil || !bytes.Equal(kept, text) {
		t.Errorf("the damaged catalog is kept as %q, %v", kept, err)
	}
	if err := os.Remove(ch.SetAside); err != nil {
		t.Error(err)
	}
	again, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if d, err := decode(again); err != nil || s.kept(d.entries) != nil {
		t.Errorf("rebuilt on disk: %v", err)
	}
}

// Lost: wrong facts, believed because a damaged archive has them.
func TestFlippedArchivesTellNoWrongFacts(t *testing.T) {
	s := newSpecimen(t)
	c := &Catalog{dir: s.dir, base: "data", now: time.Now}
	name := s.doc.entries[0].File
	want, err := c.readArchive(name)
	if err != nil || want.Verification.State != catalog.Unverified {
		t.Fatalf("%+v, %v", want, err)
	}
	f, err := os.OpenFile(filepath.Join(s.dir, name), os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	write := func(i int, b byte) {
		if _, err := f.WriteAt([]byte{b}, int64(i)); err != nil {
			t.Fatal(err)
		}
	}
	for i, b := range s.archive {
		for bit := range 8 {
			write(i, b^1<<bit)
			if got, err := c.readArchive(name); err == nil && !reflect.DeepEqual(got, want) {
				t.Errorf("byte %d, bit %d: %+v", i, bit, got)
			}
		}
		write(i, b)
	}
}

// Lost: catalogs of before the sum, those that a tool laid out again, and a
// newer program's.
func TestSumIsOfTheMeaning(t *testing.T) {
	s := newSpecimen(t)
	if !sumFits(s.text) {
		t.Fatalf("%s", s.text)
	}
	at := len(s.text) - sumBytes
	body, sum := string(s.text[:at]), string(s.text[at+len(`,"sum":"`):len(s.text)-len(`"}`)])
	for name, text := range map[string][]byte{
		"without a sum": []byte(body + "}"),
		"sum first":     []byte(`{"sum":"` + sum + `",` + body[1:] + "}"),
		"spaced":        bytes.ReplaceAll(s.text, []byte(`":`), []byte(`" : `)),
	} {
		if damaged, err := s.judge(text); damaged || err != nil {
			t.Errorf("%s: damaged %v, %v", name, damaged, err)
		}
	}
	if _, err := decode(bytes.ReplaceAll(s.text, []byte(`"pinned":true`), []byte(`"pinned":false`))); !errors.Is(err, ErrDamaged) {
		t.Errorf("edited, with the sum of before: %v", err)
	}
	newer := strings.Replace(body, `"version":1`, `"version":2`, 1)
	if _, err := decode(append([]byte(newer), sumOf([]byte(newer))...)); !errors.Is(err, ErrVersion) {
		t.Errorf("newer: %v", err)
	}
}

// Lost: a pin that a person set, deleted by retention after the catalog was
// damaged: only what intact text says is unpinned may go.
func TestUnknownPinsAreSetAndTold(t *testing.T) {
	s := newSpecimen(t)
	line := bytes.Index(s.text, []byte(`{"id":"data_backup_auto_20251031_120000`))
	if err := os.WriteFile(filepath.Join(s.dir, catalogName), s.text[:line+100], 0o600); err != nil {
		t.Fatal(err)
	}
	c, err := Open(s.dir, "data")
	if err != nil {
		t.Fatal(err)
	}
	list, err := c.Entries()
	if err != nil {
		t.Fatal(err)
	}
	ch := c.TakeChanges()
	if want := []string{list[2].ID, list[1].ID}; !slices.Equal(ch.Pinned, want) || !list[1].Pinned || !list[2].Pinned || list[0].Pinned {
		t.Fatalf("pinned %v, want %v: %+v", ch.Pinned, want, list)
	}
	for _, d := range catalog.Plan(list, catalog.State{}, catalog.Policy{Last: 1}, time.Now()) {
		if !d.Keep {
			t.Errorf("%+v", d)
		}
	}
	// A lost catalog is another matter: nothing says that there ever was a pin.
	if err := os.Remove(filepath.Join(s.dir, catalogName)); err != nil {
		t.Fatal(err)
	}
	if c, err = Open(s.dir, "data"); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Rebuild(context.Background()); err != nil {
		t.Fatal(err)
	}
	if list, err = c.Entries(); err != nil || list[1].Pinned {
		t.Errorf("%+v, %v", list, err)
	}
}
