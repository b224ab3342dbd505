package proof

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"example.com/snapd/catalog"
	"example.com/snapd/internal/schedule"
)

var noon = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

func stored(seq uint64, bytes int64, proven time.Time) catalog.Entry {
	return catalog.Entry{ID: fmt.Sprint("b", seq), Seq: seq, ArchiveBytes: bytes, Verification: catalog.Verification{State: catalog.Verified, At: &proven}}
}

// Lost: a backup that nobody has read for longer than 30 days; or the application's disk, to backups that are read over and over. Backups of
// any size come and go meanwhile, and shares come late.
func TestSharesCoverAllWithin30Days(t *testing.T) {
	t.Parallel()
	for seed := range uint64(20) {
		rng := rand.New(rand.NewPCG(seed, 1))
		now := noon
		var all []catalog.Entry
		for n := range uint64(5 + rng.IntN(60)) {
			all = append(all, stored(n, 1+rng.Int64N(1<<20), now))
		}
		var read, total int64
		for day := range 120 {
			now = now.Add(schedule.ProveEvery + time.Duration(rng.IntN(120))*time.Second)
			for _, e := range share(all, now) {
				read += e.ArchiveBytes
				i := slices.IndexFunc(all, func(o catalog.Entry) bool { return o.ID == e.ID })
				all[i].Verification.At = new(now)
			}
			for _, e := range all {
				total += e.ArchiveBytes
				if late := now.Sub(*e.Verification.At); late > schedule.ProveAll {
					t.Fatalf("seed %d: %s was not read for %v", seed, e.ID, late)
				}
			}
			switch rng.IntN(4) {
			case 0:
				all = append(all, stored(uint64(1000+day), 1+rng.Int64N(1<<20), now))
			case 1:
				if i := rng.IntN(len(all)); len(all) > 3 {
					all = slices.Delete(all, i, i+1)
				}
			}
		}
		if read > total/5 { // a thirtieth, and at least one: of few, that is more
			t.Errorf("seed %d: a share is %.3f of all", seed, float64(read)/float64(total))
		}
	}
}

// Lost: which backups are read first, and which not at all.
func TestShareOrder(t *testing.T) {
	t.Parallel()
	ago := func(d time.Duration) time.Time { return noon.Add(-d) }
	day := 24 * time.Hour
	fresh, old, older := stored(1, 1, ago(day-time.Minute)), stored(2, 1, ago(3*day)), stored(3, 1, ago(4*day))
	unproven, adopted, future := stored(4, 1, noon), stored(5, 1, ago(20*day)), stored(6, 1, noon.Add(time.Hour))
	unproven.Verification = catalog.Verification{State: catalog.Unverified}
	adopted.Adopted = true
	failed, overdue := stored(7, 1, ago(5*day)), stored(8, 100, ago(29*day))
	failed.Verification.State = catalog.Failed
	for name, c := range map[string]struct {
		all  []catalog.Entry
		want string
	}{
		"proven today":                  {[]catalog.Entry{fresh}, "[]"},
		"the oldest proof":              {[]catalog.Entry{fresh, old, older}, "[b3]"},
		"a failed one has its turn":     {[]catalog.Entry{old, older, failed}, "[b7]"},
		"never proven":                  {[]catalog.Entry{old, unproven, older}, "[b4]"},
		"dated in the future":           {[]catalog.Entry{old, future, older}, "[b6]"},
		"of another directory":          {[]catalog.Entry{adopted}, "[]"},
		"no longer than all in 30 days": {[]catalog.Entry{old, unproven, overdue}, "[b4 b8]"},
	} {
		ids := []string{}
		for _, e := range share(c.all, noon) {
			ids = append(ids, e.ID)
		}
		if got := fmt.Sprint(ids); got != c.want {
			t.Errorf("%s: %s, want %s", name, got, c.want)
		}
	}
}
