package remote

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"example.com/snapd/catalog"
)

var day0 = time.Date(2031, 3, 5, 12, 0, 0, 0, time.UTC)

// backup is a verified automatic one, taken an hour after the one before it, at a capture of timeline 1.
func backup(seq int, capture int) catalog.Entry {
	e := catalog.Entry{ID: fmt.Sprintf("data_%d", seq), File: fmt.Sprintf("data_%d.db.zst", seq), Seq: uint64(seq), Kind: catalog.Auto, Trigger: catalog.TriggerSchedule,
		CreatedAt: day0.Add(time.Duration(seq) * time.Hour), DatabaseBytes: 4096, ArchiveBytes: 1000, PageSize: 4096,
		Verification: catalog.Verification{State: catalog.Verified}, Timeline: catalog.Timeline{Number: 1}}
	if capture > 0 {
		e.Point = catalog.PointID(1, uint64(capture))
	}
	return e
}

func segment(timeline, first, last int) LocalSegment {
	return LocalSegment{Name: Name{Kind: Segment, Timeline: uint64(timeline), First: uint64(first), Last: uint64(last), At: day0.Add(time.Duration(last) * time.Minute)}, Base: "data_1", Size: 10}
}

func copyOf(n Name, e *catalog.Entry) Copy {
	c := Copy{Name: n.String(), Size: 10, Checksum: "sha256:00", At: day0, Entry: e}
	if n.Kind == Segment {
		c.Base = "data_1"
	}
	return c
}

func copies(of ...any) (list []Copy) {
	for _, o := range of {
		switch o := o.(type) {
		case catalog.Entry:
			list = append(list, copyOf(Name{Kind: Backup, Number: o.Seq, ID: o.ID}, &o))
		case LocalSegment:
			list = append(list, copyOf(o.Name, nil))
		case Copy:
			list = append(list, o)
		}
	}
	return list
}

func newest(list ...catalog.Entry) []catalog.Entry { slices.Reverse(list); return list }

func TestPlan(t *testing.T) {
	t.Parallel()
	b1, b2, b3 := backup(1, 0), backup(2, 100), backup(3, 200)
	damaged := func(c Copy) Copy { c.Damaged = "bits"; return c }
	nameOnly := copyOf(Name{Kind: Backup, Number: 1, ID: "old"}, nil)
	var small []LocalSegment
	for i := range 8 {
		small = append(small, segment(1, 1+i*10, 10+i*10))
	}
	manual := b1
	manual.Kind = catalog.Manual
	unverified := b3
	unverified.Verification.State = catalog.Unverified
	for name, c := range map[string]struct {
		local  []catalog.Entry
		segs   []LocalSegment
		there  []Copy
		rules  Rules
		send   string
		remove string
	}{
		"nothing":                  {},
		"first sync: newest first": {local: newest(b1, b2, b3), segs: []LocalSegment{segment(1, 1, 10)}, send: "data_3 data_2 data_1"},
		"segments follow what is there": {local: newest(b1, b2), segs: []LocalSegment{segment(1, 1, 100), segment(1, 101, 110), segment(1, 111, 120)},
			there: copies(b2), send: "1/101-110 1/111-120 data_1"},
		"older segments when their backup is there": {local: newest(b1, b2), segs: []LocalSegment{segment(1, 1, 100), segment(1, 101, 110)},
			there: copies(b1, b2), send: "1/101-110 1/1-100"},
		"nothing new":   {local: newest(b1), segs: []LocalSegment{segment(1, 1, 10)}, there: copies(b1, segment(1, 1, 10))},
		"joined here":   {local: newest(b1), segs: []LocalSegment{segment(1, 1, 20)}, there: copies(b1, segment(1, 1, 10), segment(1, 11, 20))},
		"a gap, joined": {local: newest(b1), segs: []LocalSegment{segment(1, 1, 20)}, there: copies(b1, segment(1, 1, 9), segment(1, 11, 20)), send: "1/1-20"},
		"many joined":   {local: newest(b1), segs: []LocalSegment{segment(1, 1, 80)}, there: append(copies(b1), copies(anys(small)...)...), send: "1/1-80"},
		"what is joined goes": {local: newest(b1), segs: []LocalSegment{segment(1, 1, 80)}, there: append(copies(b1, segment(1, 1, 80)), copies(anys(small[:2])...)...),
			rules: Rules{Delete: true}, remove: "1/1-10 1/11-20"},
		"unverified":                               {local: newest(b1, unverified), there: copies(b1)},
		"not of this directory":                    {local: newest(b1, b2), rules: Rules{From: 2}, segs: []LocalSegment{segment(1, 1, 10)}},
		"kept by its own policy":                   {local: newest(b1, b2, b3), rules: Rules{Keep: catalog.Policy{Last: 1, Daily: catalog.None}}, send: "data_3"},
		"nothing goes before what comes is there":  {local: newest(b1, b2), there: copies(b1), rules: Rules{Delete: true, Keep: catalog.Policy{Last: 1, Daily: catalog.None}}, send: "data_2"},
		"then it goes":                             {local: newest(b1, b2), there: copies(b1, b2), rules: Rules{Delete: true, Keep: catalog.Policy{Last: 1, Daily: catalog.None}}, remove: "data_1"},
		"delete = false":                           {local: newest(b1, b2), there: copies(b1, b2), rules: Rules{Keep: catalog.Policy{Last: 1, Daily: catalog.None}}},
		"gone here, kept there":                    {local: newest(b2), there: copies(b1, b2), rules: Rules{Delete: true}},
		"manual stays":                             {local: newest(b2), there: copies(manual, b2), rules: Rules{Delete: true, Keep: catalog.Policy{Last: 1, Daily: catalog.None}}},
		"segments before the oldest backup go":     {local: newest(b2), there: copies(b2, segment(1, 1, 100), segment(1, 101, 110)), rules: Rules{Delete: true}, remove: "1/1-100"},
		"not where a backup is known by name only": {local: newest(b2), there: copies(b2, nameOnly, segment(1, 1, 100)), rules: Rules{Delete: true}},
		"orphans go":                               {local: newest(b2), there: copies(b2, copyOf(segment(2, 1, 9).Name, nil)), rules: Rules{Delete: true}, remove: "2/1-9"},
		"not while the backup comes":               {local: newest(b1), there: copies(segment(1, 1, 9)), rules: Rules{Delete: true}, send: "data_1"},
		"damaged there, whole here":                {local: newest(b1), there: copies(damaged(copies(b1)[0])), rules: Rules{Delete: true}, send: "data_1", remove: "data_1"},
		"damaged there, locked":                    {local: newest(b1), there: copies(damaged(copies(b1)[0]))},
		"damaged there, whole here: what follows it stays": {local: newest(b1, b2), there: append(copies(b2, segment(1, 1, 90)), damaged(copies(b1)[0])),
			rules: Rules{Delete: true}, send: "data_1", remove: "data_1"},
		"damaged there, gone here: what follows it stays": {local: newest(b2), there: append(copies(b2, segment(1, 1, 90)), damaged(copies(b1)[0])), rules: Rules{Delete: true}},
		"damaged there, gone here":                        {local: newest(b2), there: copies(damaged(copies(b1)[0]), b2), rules: Rules{Delete: true}},
		"damaged segment":                                 {local: newest(b1), segs: []LocalSegment{segment(1, 1, 10)}, there: copies(b1, damaged(copies(segment(1, 1, 10))[0])), rules: Rules{Delete: true}, send: "1/1-10", remove: "1/1-10"},
		"too old":                                         {local: newest(b1, b2), there: copies(b1, b2, segment(1, 1, 100), segment(1, 101, 110)), rules: Rules{Delete: true, Points: time.Hour}, remove: "1/1-100"},
		"catalogs and notes": {there: copies(copyOf(Name{Kind: Catalog, Number: 1}, nil), copyOf(Name{Kind: Catalog, Number: 2}, nil), copyOf(Name{Kind: Catalog, Number: 3}, nil),
			copyOf(Name{Kind: Writer, Number: 1}, nil), copyOf(Name{Kind: Writer, Number: 9}, nil)), rules: Rules{Delete: true, Claim: 9}, remove: "c1 w1"},
	} {
		c.rules.Now = day0.Add(48 * time.Hour)
		state := catalog.State{Timeline: &catalog.Present{Timeline: catalog.Timeline{Number: 1}}}
		p := Decide(Local{Backups: c.local, State: state, Segments: c.segs}, c.there, c.rules)
		var send, remove []string
		for _, i := range p.Send {
			send = append(send, short(i.Name))
		}
		for _, r := range p.Remove {
			n, _ := Parse(r.Name)
			remove = append(remove, short(n))
			if r.Why == "" {
				t.Errorf("%s: %s goes without a reason", name, r.Name)
			}
		}
		slices.Sort(remove)
		if got := strings.Join(send, " "); got != c.send {
			t.Errorf("%s: sends %q, want %q", name, got, c.send)
		}
		if got := strings.Join(remove, " "); got != c.remove {
			t.Errorf("%s: removes %q, want %q", name, got, c.remove)
		}
	}
}

func anys(list []LocalSegment) (all []any) {
	for _, s := range list {
		all = append(all, s)
	}
	return all
}

func short(n Name) string {
	switch n.Kind {
	case Backup:
		return n.ID
	case Catalog:
		return fmt.Sprint("c", n.Number)
	case Writer:
		return fmt.Sprint("w", n.Number)
	}
	return fmt.Sprintf("%d/%d-%d", n.Timeline, n.First, n.Last)
}

// Lost: recovery points that only the remote has, or the last good copy. Whatever is here and there, carrying the plan out ends, and
// everything that could be restored from the remote can be restored still, except what the policy does not keep.
func TestPlanProperties(t *testing.T) {
	t.Parallel()
	for seed := range uint64(800) {
		rnd := rand.New(rand.NewPCG(seed, 1))
		var local Local
		var there []Copy
		captured := 0
		for seq := 1; seq <= 1+rnd.IntN(8); seq++ {
			e := backup(seq, captured)
			if rnd.IntN(4) > 0 {
				local.Backups = append([]catalog.Entry{e}, local.Backups...)
			}
			if rnd.IntN(3) == 0 {
				there = append(there, copies(e)...)
			}
			for range rnd.IntN(4) {
				n := 1 + rnd.IntN(9)
				s := segment(1, captured+1, captured+n)
				captured += n
				if rnd.IntN(4) > 0 {
					local.Segments = append(local.Segments, s)
				}
				if rnd.IntN(3) == 0 {
					there = append(there, copies(s)...)
				}
			}
		}
		local.State = catalog.State{Timeline: &catalog.Present{Timeline: catalog.Timeline{Number: 1}}}
		r := Rules{Delete: rnd.IntN(4) > 0, Keep: catalog.Policy{Last: 1 + rnd.IntN(4), Daily: catalog.None}, Now: day0.Add(48 * time.Hour)}
		best := func() uint64 {
			b, _ := Newest(there)
			if b == nil {
				return 0
			}
			return b.Seq
		}
		for step := 0; ; step++ {
			if step > 200 {
				t.Fatalf("seed %d: it never ends", seed)
			}
			p := Decide(local, there, r)
			had := best()
			for _, rm := range p.Remove {
				there = slices.DeleteFunc(there, func(c Copy) bool { return c.Name == rm.Name })
			}
			if best() < had {
				t.Fatalf("seed %d: the newest backup was removed", seed)
			}
			if len(p.Send) == 0 && len(p.Remove) == 0 {
				break
			}
			if len(p.Remove) == 0 {
				i := p.Send[0]
				if slices.ContainsFunc(there, func(c Copy) bool { return c.Name == i.Name.String() }) {
					t.Fatalf("seed %d: %s is sent again", seed, i.Name)
				}
				there = append(there, copyOf(i.Name, i.Entry))
			}
		}
		if len(local.Backups) > 0 && best() < local.Backups[0].Seq {
			t.Errorf("seed %d: the newest backup is not there", seed)
		}
		// Every local capture after the oldest backup there is there, too.
		w := look(local, there, r)
		bases := w.bases(1)
		for _, s := range local.Segments {
			if covered, _, _ := w.covered(s.Name); len(bases) > 0 && s.Name.Last > bases[0] && !covered {
				t.Errorf("seed %d: captures %d-%d are not there", seed, s.Name.First, s.Name.Last)
			}
		}
	}
}
