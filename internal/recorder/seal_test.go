package recorder

import (
	"errors"
	"math/rand/v2"
	"path/filepath"
	"testing"
	"time"

	"example.com/snapd/catalog"
	"example.com/snapd/internal/archive"
	"example.com/snapd/internal/capture"
	"example.com/snapd/internal/changes"
	"example.com/snapd/internal/testdb"
)

// silent is a host that hears nothing.
type silent struct{ placed }

func (silent) Report(Event) {}

// If this fails, a segment that has rotted before it was sealed is appended to for ever.
func TestRottenSegmentEndsItsLog(t *testing.T) {
	t.Parallel()
	r := New(Options{Dir: t.TempDir(), Host: silent{}, Now: time.Now})
	r.timeline = 1
	const pageSize = 4096
	seed := archive.Seed(5)
	page := make([]byte, pageSize)
	rand.NewChaCha8([32]byte{1}).Read(page)
	var sum archive.Sum
	sum.Add(archive.PageDigest(seed, 1, page))
	var err error
	if r.log, err = changes.Open(r.dir(1), changes.Head{Timeline: 1, Base: "base", PageSize: pageSize, PageSeed: seed.String()}); err != nil {
		t.Fatal(err)
	}
	c := changes.Capture{Seq: 1, From: time.Now(), At: time.Now(), Commits: 1, Pages: 1, Sum: sum.Digits()}
	if err := r.log.Append(t.Context(), c, []uint32{1}, func(_ uint32, p []byte) error { copy(p, page); return nil }); err != nil {
		t.Fatal(err)
	}
	testdb.FlipByte(t, filepath.Join(r.dir(1), "open.chg"), -pageSize/2)
	if err := r.seal(); !errors.Is(err, changes.ErrDamaged) {
		t.Fatal(err)
	}
	var end *endedError
	_, err = r.lookOnce(func() (capture.Outcome, error) { return capture.Outcome{}, nil }, t.Context())
	if !errors.As(err, &end) || end.timeline != 1 || end.cause != catalog.NewLog || r.log != nil {
		t.Errorf("%v, %+v", err, end)
	}
}

// What is sealed when asked is what replication can send.
func TestSealOlder(t *testing.T) {
	t.Parallel()
	now := time.Date(2025, 10, 31, 12, 0, 0, 0, time.UTC)
	r := New(Options{Dir: t.TempDir(), Host: silent{}, Now: func() time.Time { return now }})
	r.timeline = 1
	if err := r.SealOlder(0); err != nil {
		t.Fatal(err)
	}
	seed := archive.Seed(5)
	page := make([]byte, 512)
	var sum archive.Sum
	sum.Add(archive.PageDigest(seed, 1, page))
	var err error
	if r.log, err = changes.Open(r.dir(1), changes.Head{Timeline: 1, Base: "base", PageSize: len(page), PageSeed: seed.String()}); err != nil {
		t.Fatal(err)
	}
	defer r.log.Close()
	for seq := range uint64(3) {
		c := changes.Capture{Seq: seq + 1, From: now, At: now, Commits: 1, Pages: 1, Sum: sum.Digits()}
		if err := r.log.Append(t.Context(), c, []uint32{1}, func(_ uint32, p []byte) error { copy(p, page); return nil }); err != nil {
			t.Fatal(err)
		}
		now = now.Add(4 * time.Second)
	}
	sealed := func(age time.Duration) []changes.Sealed {
		if err := r.SealOlder(age); err != nil {
			t.Fatal(err)
		}
		list, err := changes.SealedIn(r.dir(1))
		if err != nil {
			t.Fatal(err)
		}
		return list
	}
	if list := sealed(13 * time.Second); len(list) != 0 {
		t.Errorf("too early: %+v", list)
	}
	at := time.Date(2025, 10, 31, 12, 0, 8, 0, time.UTC)
	if list := sealed(12 * time.Second); len(list) != 1 || list[0].First != 1 || list[0].Last != 3 || !list[0].At.Equal(at) {
		t.Errorf("%+v", list)
	}
	if list := sealed(0); len(list) != 1 {
		t.Errorf("sealed again: %+v", list)
	}
}
