package remote

import (
	"testing"
	"time"

	"example.com/snapd/catalog"
)

// Lost: the knowledge that what is at a remote is not what it should be.
func TestWhatWaitsIsTold(t *testing.T) {
	t.Parallel()
	b1, b2 := backup(1, 0), backup(2, 100)
	damaged := func(e catalog.Entry) Copy {
		c := copies(e)[0]
		c.Damaged = "bits"
		return c
	}
	ahead := b1 // by a clock that was set right after it
	ahead.CreatedAt = day0.AddDate(5, 0, 0)
	now := b2.CreatedAt.Add(2 * time.Hour)
	for name, c := range map[string]struct {
		local []catalog.Entry
		segs  []LocalSegment
		there []Copy
		want  State
	}{
		"everything is there":                       {local: newest(b1, b2), there: copies(b1, b2), want: Current},
		"an older one is sent later":                {local: newest(b1, b2), there: copies(b2), want: Sending},
		"the newest waits":                          {local: newest(b1, b2), there: copies(b1), want: Behind},
		"captures wait":                             {local: newest(b1), segs: []LocalSegment{segment(1, 1, 60)}, there: copies(b1), want: Behind},
		"the only copy is damaged":                  {local: newest(b1), there: []Copy{damaged(b1)}, want: Behind},
		"the newest copy is damaged":                {local: newest(b1, b2), there: append(copies(b1), damaged(b2)), want: Behind},
		"the copy there is dated in the future":     {local: newest(ahead, b2), there: copies(ahead), want: Behind},
		"captures wait behind a copy of the future": {local: newest(ahead), segs: []LocalSegment{segment(1, 1, 60)}, there: copies(ahead), want: Behind},
		"a segment in between is missing": {local: newest(b1), segs: []LocalSegment{segment(1, 1, 10), segment(1, 11, 20), segment(1, 21, 60)},
			there: copies(b1, segment(1, 1, 10), segment(1, 21, 60)), want: Behind},
	} {
		t.Run(name, func(t *testing.T) {
			st := Judge(Ledger{Remote: "offsite", Period: time.Hour, Copies: c.there, Keep: catalog.Policy{Last: 10}}, Local{Backups: c.local, Segments: c.segs}, now)
			if st.State != c.want {
				t.Errorf("%s, want %s: %+v", st.State, c.want, st)
			}
			if lacking := st.Lacking(func(time.Time) string { return "then" }) != ""; lacking != (c.want == Behind) {
				t.Errorf("lacking: %v", lacking)
			}
		})
	}
}
