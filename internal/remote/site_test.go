package remote

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"testing"
	"time"

	"example.com/snapd/catalog"
	"example.com/snapd/internal/archive"
	"example.com/snapd/internal/changes"
	"example.com/snapd/internal/points"
	"example.com/snapd/internal/store"
	"example.com/snapd/internal/store/seal"
	"example.com/snapd/internal/store/storetest"
)

// site is a machine with backups and a change log, and the remote that has their copies. A state is one page that has its
// number.
type site struct {
	t       *testing.T
	place   *storetest.Memory
	to      store.Store // where copies go: place, or sealed around it
	ids     seal.Identities
	dir     string
	entries []catalog.Entry // newest first
	objects []Stored
	logs    map[uint64]*changes.Log
}

const (
	sitePage = 512
	siteSeed = archive.Seed(3)
)

var noon = time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC)

func minute(n int) time.Time { return noon.Add(time.Duration(n) * time.Minute) }

func newSite(t *testing.T, sealed bool) *site {
	t.Helper()
	s := &site{t: t, place: storetest.NewMemory(), dir: t.TempDir(), logs: map[uint64]*changes.Log{}}
	s.to = s.place
	if sealed {
		key, err := seal.Generate(false)
		if err != nil {
			t.Fatal(err)
		}
		to, err := seal.ParseRecipients([]string{key.Recipient})
		if err != nil {
			t.Fatal(err)
		}
		file := filepath.Join(t.TempDir(), "key.txt")
		if err := os.WriteFile(file, []byte(key.Identity), 0o600); err != nil {
			t.Fatal(err)
		}
		if s.ids, err = seal.ReadIdentities(file); err != nil {
			t.Fatal(err)
		}
		s.to = seal.New(s.place, to, s.ids, t.TempDir())
	}
	s.put(Name{Kind: Description}, []byte("{}"))
	return s
}

func (s *site) put(n Name, data []byte) {
	s.t.Helper()
	to := s.to
	if n.Kind == Description {
		to = s.place
	}
	if _, err := to.Put(s.t.Context(), n.String(), bytes.NewReader(data), int64(len(data))); err != nil {
		s.t.Fatal(err)
	}
}

func state(n byte) []byte { return bytes.Repeat([]byte{n}, sitePage) }

// backup sends a backup of a state, at a point unless that is "".
func (s *site) backup(seq uint64, n byte, at int, timeline uint64, point string) catalog.Entry {
	s.t.Helper()
	var b bytes.Buffer
	w, err := archive.NewWriter(&b, archive.WriterOptions{PageSize: sitePage, Seed: siteSeed})
	if err != nil {
		s.t.Fatal(err)
	}
	if _, err := w.Write(state(n)); err != nil {
		s.t.Fatal(err)
	}
	id := fmt.Sprintf("data_backup_AUTO_%s", minute(at).Format(nameTime))
	facts := archive.Facts{Seq: seq, Database: "data.db", Kind: "auto", Trigger: "schedule", CreatedAt: minute(at), CheckLevel: "quick", Point: point}
	if facts.Timeline.Number = timeline; point != "" {
		var sum archive.Sum
		sum.Add(archive.PageDigest(siteSeed, 1, state(n)))
		facts.PointSum = sum.Digits()
	}
	info, err := w.Finish(facts)
	if err != nil {
		s.t.Fatal(err)
	}
	e := catalog.Entry{
		ID: id, File: id + archive.Ext, Seq: seq, Kind: catalog.Auto, Trigger: "schedule", CreatedAt: minute(at), DatabaseBytes: sitePage, ArchiveBytes: int64(b.Len()),
		PageSize: sitePage, PageCount: 1, ImageBLAKE3: info.ImageBLAKE3, Timeline: catalog.Timeline{Number: timeline}, Point: point,
		Verification: catalog.Verification{State: catalog.Verified, Level: "quick"},
	}
	s.put(Name{Kind: Backup, Number: seq, ID: id}, b.Bytes())
	s.entries = append([]catalog.Entry{e}, s.entries...)
	s.objects = append(s.objects, Stored{Object: id, Entry: e})
	return e
}

// capture adds a capture of a state to the machine's change log, which sealed sends.
func (s *site) capture(timeline, seq uint64, n byte, at int, base string) {
	s.t.Helper()
	if s.logs[timeline] == nil {
		l, err := changes.Open(points.Directory(s.dir, timeline), changes.Head{Timeline: timeline, Base: base, PageSize: sitePage, PageSeed: siteSeed.String()})
		if err != nil {
			s.t.Fatal(err)
		}
		s.t.Cleanup(func() { l.Close() })
		s.logs[timeline] = l
	}
	var sum archive.Sum
	sum.Add(archive.PageDigest(siteSeed, 1, state(n)))
	c := changes.Capture{Seq: seq, From: minute(at - 1), At: minute(at), Commits: 1, Pages: 1, Sum: sum.Digits()}
	if err := s.logs[timeline].Append(s.t.Context(), c, []uint32{1}, func(_ uint32, page []byte) error {
		copy(page, state(n))
		return nil
	}); err != nil {
		s.t.Fatal(err)
	}
}

// segment seals what was captured, and sends it.
func (s *site) segment(timeline uint64) {
	s.t.Helper()
	dir := points.Directory(s.dir, timeline)
	if err := s.logs[timeline].Seal(); err != nil {
		s.t.Fatal(err)
	}
	files, err := os.ReadDir(dir)
	if err != nil {
		s.t.Fatal(err)
	}
	for _, f := range files {
		n, ok := ParseSegmentFile(timeline, f.Name())
		if !ok {
			continue
		}
		if _, err := s.to.Stat(s.t.Context(), n.String()); err == nil {
			continue
		}
		data, err := os.ReadFile(filepath.Join(dir, f.Name()))
		if err != nil {
			s.t.Fatal(err)
		}
		s.put(n, data)
	}
}

// catalog sends a catalog of what was sent.
func (s *site) catalog(number uint64) {
	s.t.Helper()
	text, err := EncodeDocument(Document{Format: documentFormat, Name: "data.db", PageSeed: siteSeed.String(), Backups: s.objects})
	if err != nil {
		s.t.Fatal(err)
	}
	s.put(Name{Kind: Catalog, Number: number}, text)
}

// history is a site with two timelines.
func history(t *testing.T, sealed bool) *site {
	s := newSite(t, sealed)
	first := s.backup(1, 10, 0, 1, "")
	for i := range 4 {
		s.capture(1, uint64(i+1), byte(11+i), 1+i, first.ID)
		if i%2 == 1 {
			s.segment(1)
		}
	}
	s.backup(2, 14, 4, 1, "1.4")
	s.capture(1, 5, 15, 5, first.ID)
	s.capture(1, 6, 16, 6, first.ID)
	s.segment(1)
	// 1.4 was restored, and a timeline begins over its backup.
	second := s.entries[0]
	s.capture(2, 1, 21, 11, second.ID)
	s.segment(2)
	s.capture(2, 2, 22, 12, second.ID)
	s.segment(2)
	s.catalog(1)
	return s
}

func (s *site) reader() *Reader {
	s.t.Helper()
	r, err := NewReader(s.t.Context(), s.place, ReadOptions{Identities: s.ids, Scratch: s.t.TempDir()})
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { r.Close() })
	return r
}

// has wants a state to be found, and to be read as n; 0: not found.
func (s *site) has(r *Reader, w Want, id string, n byte) {
	s.t.Helper()
	p, err := r.Find(s.t.Context(), w)
	if n == 0 {
		if !errors.Is(err, points.ErrNotFound) {
			s.t.Errorf("%+v is %s, %v; want nothing", w, p.ID, err)
		}
		return
	}
	if err != nil || p.ID != id {
		s.t.Errorf("%+v is %s, %v; want %s", w, p.ID, err, id)
		return
	}
	i, err := r.Image(s.t.Context(), p)
	if err != nil {
		s.t.Errorf("%s: %v", id, err)
		return
	}
	defer i.Close()
	got, err := io.ReadAll(io.NewSectionReader(i, 0, i.Shape().Bytes()))
	if err != nil || !bytes.Equal(got, state(n)) {
		s.t.Errorf("%s is %d of %d bytes, %v; want %d", id, got[0], len(got), err, n)
	}
}
