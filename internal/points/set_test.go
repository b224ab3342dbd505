package points

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"example.com/snapd/catalog"
	"example.com/snapd/internal/archive"
	"example.com/snapd/internal/changes"
)

const (
	pageSize = 512
	seed     = archive.Seed(3)
)

// shop is a backup directory: its entries, oldest first, and its change logs. A state is one page that has its number.
type shop struct {
	t       *testing.T
	dir     string
	entries []catalog.Entry
	state   catalog.State
	logs    map[uint64]*changes.Log
	cache   Cache
}

var noon = time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC)

func minute(n int) time.Time { return noon.Add(time.Duration(n) * time.Minute) }

func image(n byte) []byte { return bytes.Repeat([]byte{n}, pageSize) }

// backup adds a verified backup of a state, at a point unless that is "".
func (s *shop) backup(id string, timeline uint64, n byte, at int, point string) {
	s.t.Helper()
	f, err := os.Create(filepath.Join(s.dir, id))
	if err != nil {
		s.t.Fatal(err)
	}
	defer f.Close()
	w, err := archive.NewWriter(f, archive.WriterOptions{PageSize: pageSize, Seed: seed})
	if err != nil {
		s.t.Fatal(err)
	}
	if _, err := w.Write(image(n)); err != nil {
		s.t.Fatal(err)
	}
	if _, err := w.Finish(archive.Facts{}); err != nil {
		s.t.Fatal(err)
	}
	s.entries = append(s.entries, catalog.Entry{
		ID: id, File: id, Seq: uint64(len(s.entries) + 1), CreatedAt: minute(at), DatabaseBytes: pageSize, PageSize: pageSize, PageCount: 1,
		Timeline: catalog.Timeline{Number: timeline}, Point: point, Verification: catalog.Verification{State: catalog.Verified},
	})
}

func (s *shop) open(e catalog.Entry) (*archive.Reader, error) {
	return archive.Open(filepath.Join(s.dir, e.File))
}

// capture adds a capture of a state.
func (s *shop) capture(timeline, seq uint64, n byte, at int, base string) {
	s.t.Helper()
	if s.logs[timeline] == nil {
		l, err := changes.Open(Directory(s.dir, timeline), changes.Head{Timeline: timeline, Base: base, PageSize: pageSize, PageSeed: seed.String()})
		if err != nil {
			s.t.Fatal(err)
		}
		s.t.Cleanup(func() { l.Close() })
		s.logs[timeline] = l
	}
	var sum archive.Sum
	sum.Add(archive.PageDigest(seed, 1, image(n)))
	c := changes.Capture{Seq: seq, From: minute(at - 1), At: minute(at), Commits: 1, Pages: 1, Sum: sum.Digits()}
	if err := s.logs[timeline].Append(s.t.Context(), c, []uint32{1}, func(_ uint32, page []byte) error {
		copy(page, image(n))
		return nil
	}); err != nil {
		s.t.Fatal(err)
	}
}

func (s *shop) seal(timeline uint64) {
	s.t.Helper()
	if err := s.logs[timeline].Seal(); err != nil {
		s.t.Fatal(err)
	}
}

func (s *shop) set() *Set {
	s.t.Helper()
	newest := slices.Clone(s.entries)
	slices.Reverse(newest)
	set, err := Read(s.t.Context(), &s.cache, s.dir, newest, s.state)
	if err != nil {
		s.t.Fatal(err)
	}
	return set
}

// lists wants these points, oldest first, and each to open to its state.
func (s *shop) lists(want ...string) {
	s.t.Helper()
	var got []string
	set := s.set()
	for i := range set.items {
		p := set.point(i)
		i, err := set.Open(s.t.Context(), p, s.open)
		if err != nil {
			s.t.Errorf("%s: %v", p.ID, err)
			continue
		}
		b := make([]byte, 1)
		if _, err := i.ReadAt(b, 0); err != nil {
			s.t.Errorf("%s: %v", p.ID, err)
		}
		got = append(got, fmt.Sprintf("%s=%d over %s", p.ID, b[0], i.Base.ID))
		if err := i.Close(); err != nil {
			s.t.Error(err)
		}
	}
	if !slices.Equal(got, want) {
		s.t.Errorf("\n got %q\nwant %q", got, want)
	}
}

func newShop(t *testing.T) *shop {
	return &shop{t: t, dir: t.TempDir(), logs: map[uint64]*changes.Log{}}
}

// Lost: a state that could have been had, or the order in which they were.
func TestWhatIsOffered(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	s.lists()
	s.backup("a", 1, 10, 0, "")
	s.capture(1, 1, 11, 1, "a")
	s.capture(1, 2, 12, 2, "a")
	s.backup("b", 1, 12, 2, "1.2")
	s.backup("c", 1, 12, 3, "") // one without a place
	s.capture(1, 3, 13, 4, "a")
	s.seal(1)
	s.capture(1, 4, 14, 5, "a")
	s.backup("d", 1, 14, 5, "1.4")
	// 1.3 was restored: a timeline that begins over "b".
	s.capture(2, 1, 13, 7, "b")
	s.capture(2, 2, 22, 8, "b")
	all := []string{"a=10 over a", "1.1=11 over a", "1.2=12 over b", "c=12 over c", "1.3=13 over b", "1.4=14 over d", "2.1=13 over b", "2.2=22 over b"}
	s.lists(all...)
	s.lists(all...) // from the cache
	// Without the nearest base the one before does.
	unproven := func(i int) func() {
		s.entries[i].Verification.State = catalog.Failed
		return func() { s.entries[i].Verification.State = catalog.Verified }
	}
	back := unproven(1)
	s.lists("a=10 over a", "1.1=11 over a", "1.2=12 over a", "c=12 over c", "1.3=13 over a", "1.4=14 over d")
	back()
	back = unproven(0)
	s.lists("1.2=12 over b", "c=12 over c", "1.3=13 over b", "1.4=14 over d", "2.1=13 over b", "2.2=22 over b")
	back()
	// Another directory's backup is the oldest, also where it says otherwise.
	s.entries[3].Adopted, s.entries[3].Pinned = true, true
	s.lists("d=14 over d", "a=10 over a", "1.1=11 over a", "1.2=12 over b", "c=12 over c", "1.3=13 over b", "1.4=14 over b", "2.1=13 over b", "2.2=22 over b")
	s.entries[3].Adopted = false
	// What retention dropped of the log.
	if err := s.logs[1].DropBefore(3); err != nil {
		t.Fatal(err)
	}
	s.lists("a=10 over a", "1.2=12 over b", "c=12 over c", "1.4=14 over d", "2.1=13 over b", "2.2=22 over b")
}

// Lost: what is proven, and what is only stored.
func TestStates(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	s.backup("a", 1, 10, 0, "")
	for n := range 4 {
		s.capture(1, uint64(n+1), byte(11+n), n+1, "a")
	}
	s.backup("b", 1, 14, 4, "1.4")
	s.state.AddAnchor(1, 2, minute(2))
	var got []string
	set := s.set()
	for i := range set.items {
		p := set.point(i)
		got = append(got, fmt.Sprint(p.ID, " ", p.Kind, " ", p.State))
	}
	if want := []string{"a backup verified", "1.1 change verified", "1.2 change verified", "1.3 change sealed", "1.4 backup verified"}; !slices.Equal(got, want) {
		t.Errorf("%q", got)
	}
}

// Lost: which state a time means.
func TestAt(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	s.backup("a", 1, 10, 0, "")
	s.capture(1, 1, 11, 60, "a")
	s.capture(1, 2, 12, 70, "a")
	s.capture(1, 3, 13, 30, "a") // the clock is set back
	s.capture(1, 4, 14, 65, "a")
	s.capture(1, 5, 15, 90, "a")
	set := s.set()
	for at, want := range map[int]string{-1: "", 0: "a", 29: "a", 30: "a 1.3", 60: "1.1 1.3", 64: "1.1 1.3", 66: "1.1 1.4", 70: "1.4", 89: "1.4", 90: "1.5", 1000: "1.5"} {
		p, err := set.At(minute(at))
		got := p.ID
		var twice *AmbiguousError
		if errors.As(err, &twice) {
			for i, p := range twice.Points {
				if i > 0 {
					got += " "
				}
				got += p.ID
			}
		} else if (err == nil) != (want != "") || err != nil && !errors.Is(err, ErrNotFound) {
			t.Errorf("%d: %v", at, err)
		}
		if got != want {
			t.Errorf("at %d: %q, want %q", at, got, want)
		}
	}
}

// Lost: the reason why a base was not used, or another error than that.
func TestSkippedBases(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	s.backup("a", 1, 10, 0, "")
	s.capture(1, 1, 11, 1, "a")
	s.backup("b", 1, 99, 1, "1.1") // it is not that state
	s.capture(1, 2, 12, 2, "a")
	set := s.set()
	p, err := set.Find("1.2")
	if err != nil {
		t.Fatal(err)
	}
	i, err := set.Open(t.Context(), p, s.open)
	if err != nil {
		t.Fatal(err)
	}
	i.Close()
	broken := errors.New("broken")
	i, err = set.Open(t.Context(), p, func(e catalog.Entry) (*archive.Reader, error) {
		if e.ID == "b" {
			return nil, broken
		}
		return s.open(e)
	})
	if err != nil || i.Base.ID != "a" || len(i.Skipped) != 1 || i.Skipped[0].Backup.ID != "b" || !errors.Is(i.Skipped[0].Err, broken) {
		t.Errorf("%+v, %v", i, err)
	}
	i.Close()
	if _, err = set.Open(t.Context(), p, func(catalog.Entry) (*archive.Reader, error) { return nil, broken }); !errors.Is(err, broken) {
		t.Error(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err = set.Open(ctx, p, s.open); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}

// Lost: every state of a timeline, by one rotten byte in one of its segments.
func TestDamageCostsItsOwnSegmentOnly(t *testing.T) {
	t.Parallel()
	for _, of := range []struct {
		segment string
		at      int64 // of the damage; negative: before the end
		want    []string
	}{
		{"open.chg", 10, []string{"a=10 over a", "1.1=11 over a", "1.2=12 over b", "1.3=13 over b"}},
		{"open.chg", -250, []string{"a=10 over a", "1.1=11 over a", "1.2=12 over b", "1.3=13 over b", "1.4=14 over b"}},
		{"000000001-*", 10, []string{"a=10 over a", "1.2=12 over b", "1.3=13 over b", "1.4=14 over b", "1.5=15 over b", "1.6=16 over b"}},
		{"000000003-*", 10, []string{"a=10 over a", "1.1=11 over a", "1.2=12 over b"}},
	} {
		t.Run(fmt.Sprint(of.segment, of.at), func(t *testing.T) {
			s := newShop(t)
			s.backup("a", 1, 10, 0, "")
			s.capture(1, 1, 11, 1, "a")
			s.capture(1, 2, 12, 2, "a")
			s.seal(1)
			s.backup("b", 1, 12, 2, "1.2")
			s.capture(1, 3, 13, 4, "a")
			s.seal(1)
			for seq := range uint64(3) {
				s.capture(1, 4+seq, byte(14+seq), 5+int(seq), "a")
			}
			names, err := filepath.Glob(filepath.Join(Directory(s.dir, 1), of.segment))
			if err != nil || len(names) != 1 {
				t.Fatal(names, err)
			}
			b, err := os.ReadFile(names[0])
			if err != nil {
				t.Fatal(err)
			}
			at := of.at
			if at < 0 {
				at += int64(len(b))
			}
			b[at] ^= 0x10
			if err := os.WriteFile(names[0], b, 0o600); err != nil {
				t.Fatal(err)
			}
			s.lists(of.want...)
			if len(s.set().Damaged) == 0 {
				t.Error("it is not said that something is damaged")
			}
		})
	}
}

// Lost: that there is damage, where it is at the end of the log: the points were not listed, as if there had been none.
func TestANewestSegmentThatWasCutShortIsReported(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	s.backup("a", 1, 10, 0, "")
	for seq := range uint64(4) {
		s.capture(1, 1+seq, byte(11+seq), 1+int(seq), "a")
	}
	s.seal(1)
	sealed, err := changes.SealedIn(Directory(s.dir, 1))
	if err != nil || len(sealed) != 1 {
		t.Fatal(sealed, err)
	}
	path := filepath.Join(Directory(s.dir, 1), sealed[0].Name)
	fi, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(path, fi.Size()*2/5); err != nil {
		t.Fatal(err)
	}
	all, _, err := s.set().List(Query{})
	if err != nil || len(all) < 2 || len(all) > 4 {
		t.Fatalf("%d points, %v: the test cuts off nothing, or all", len(all), err)
	}
	if len(s.set().Damaged) != 1 {
		t.Errorf("reported: %v", s.set().Damaged)
	}
}
