package recorder

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"example.com/snapd/catalog"
	"example.com/snapd/internal/capture"
	"example.com/snapd/internal/changes"
	"example.com/snapd/internal/schedule"
	"example.com/snapd/internal/testdb"
)

// Lost: a segment that is read again too late, or never.
func TestDue(t *testing.T) {
	t.Parallel()
	var all []segment
	for n := range uint64(90) {
		all = append(all, segment{changes.Sealed{First: 10*n + 1, Last: 10*n + 10}, 1 + n/60, 100})
	}
	seen, p := map[string]int{}, catalog.SegmentProofs{}
	for range 30 {
		list := due(all, p)
		if len(list) == 0 || len(list) > 4 {
			t.Fatalf("after %+v: %d segments", p, len(list))
		}
		for _, s := range list {
			seen[fmt.Sprint(s.timeline, " ", s.First)]++
		}
		p.Timeline, p.Seq = list[len(list)-1].timeline, list[len(list)-1].Last
	}
	if len(seen) != len(all) {
		t.Errorf("%d of %d segments within 30 days", len(seen), len(all))
	}
	if list := due(all, catalog.SegmentProofs{Timeline: 2, Seq: 895}); len(list) == 0 || list[0].Last != 900 {
		t.Errorf("one that was merged with the last one: %+v", list)
	}
	if list := due(all[:1], catalog.SegmentProofs{Timeline: 1, Seq: 10}); len(list) != 1 {
		t.Errorf("a new round: %+v", list)
	}
}

// Lost: points that build on a damaged segment; the news of it; or for ever the good name of one that was put back.
func TestReprove(t *testing.T) {
	t.Parallel()
	h, r, app := captured(t)
	now := time.Now()
	proofs := func(after time.Duration) *catalog.SegmentProofs {
		t.Helper()
		now = now.Add(after)
		if err := r.reprove(t.Context(), now); err != nil {
			t.Fatal(err)
		}
		_, state, _ := h.Read()
		return state.SegmentProofs
	}
	if p := proofs(0); p != nil {
		t.Errorf("without a segment: %+v", p)
	}
	seal := func() changes.Sealed {
		t.Helper()
		if err := r.SealOlder(0); err != nil {
			t.Fatal(err)
		}
		list, err := changes.SealedIn(r.dir(1))
		if err != nil {
			t.Fatal(err)
		}
		return list[len(list)-1]
	}
	first := seal()
	app.Exec(0, "UPDATE t SET a=1 WHERE id=7")
	if _, err := r.look(t.Context()); err != nil {
		t.Fatal(err)
	}
	second := seal()
	if p := proofs(0); len(p.Damaged) != 0 || !p.At.Equal(now) || p.Seq != first.Last {
		t.Errorf("%+v", p)
	}
	path := filepath.Join(r.dir(1), second.Name)
	testdb.FlipByte(t, path, -2000)
	if p := proofs(schedule.ProveEvery - time.Minute); len(p.Damaged) != 0 {
		t.Errorf("too early: %+v", p)
	}
	for range 2 { // reported once
		if p := proofs(schedule.ProveEvery); len(p.Damaged) != 1 || p.Damaged[0].First != second.First || p.Damaged[0].From != second.First {
			t.Errorf("%+v", p)
		}
	}
	// A disk that does not answer proves nothing.
	r.prove = func(context.Context, string, changes.Sealed) (uint64, error) { return 0, syscall.EIO }
	now = now.Add(schedule.ProveEvery)
	if err := r.reprove(t.Context(), now); !errors.Is(err, syscall.EIO) {
		t.Errorf("a segment that cannot be read: %v", err)
	}
	if _, state, _ := h.Read(); len(state.SegmentProofs.Damaged) != 1 || !state.SegmentProofs.At.Equal(now) {
		t.Errorf("a damaged segment that cannot be read: %+v", state.SegmentProofs)
	}
	r.prove = changes.ProveAgain
	// Nor does a list that cannot be read: two segments that overlap are for a person to look at.
	var overlap []string
	for n := range uint64(2) {
		overlap = append(overlap, filepath.Join(r.dir(1), fmt.Sprintf("%09d-%09d_20300101_000000.chg.zst", first.First+n, second.Last+1+n)))
	}
	for _, name := range overlap {
		if err := os.WriteFile(name, nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	now = now.Add(schedule.ProveEvery)
	if err := r.reprove(t.Context(), now); !errors.Is(err, changes.ErrDamaged) {
		t.Errorf("a log that cannot be listed: %v", err)
	}
	if _, state, _ := h.Read(); len(state.SegmentProofs.Damaged) != 1 || !state.SegmentProofs.At.Equal(now) {
		t.Errorf("a damaged segment of a log that cannot be listed: %+v", state.SegmentProofs)
	}
	for _, name := range overlap {
		if err := os.Remove(name); err != nil {
			t.Fatal(err)
		}
	}
	if n := len(h.of(Rotted)); n != 1 {
		t.Errorf("reported %d times: %+v", n, h.reported)
	}
	var end *endedError
	_, err := r.lookOnce(func() (capture.Outcome, error) { return capture.Outcome{}, nil }, t.Context())
	if !errors.As(err, &end) || end.cause != catalog.NewLog {
		t.Errorf("the log goes on: %v", err)
	}
	testdb.FlipByte(t, path, -2000)
	if p := proofs(schedule.ProveEvery); len(p.Damaged) != 0 {
		t.Errorf("put back: %+v", p)
	}
}
