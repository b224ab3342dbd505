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

func (silent) Tell(Event) {}

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
