package recovery

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"example.com/snapd/catalog"
	"example.com/snapd/integrity"
	"example.com/snapd/internal/failure"
	"example.com/snapd/internal/remote"
	"example.com/snapd/internal/store"
	"example.com/snapd/internal/store/seal"
)

// A remote is a way out where nothing here is one, and what could not be found out about it is never "nothing".
func TestDecideElsewhere(t *testing.T) {
	t.Parallel()
	old, recent := backupAt("old", 0), backupAt("recent", 0)
	recent.CreatedAt = recent.CreatedAt.Add(time.Hour)
	var (
		damaged = integrity.Report{Verdict: integrity.Corrupt, Findings: []integrity.Finding{{Message: "page 4 is torn"}}}
		failed  = repairFacts{hope: true, tried: true, failed: errors.New("rows have the same key")}
		has     = elsewhere{name: "nas", candidates: []catalog.Entry{recent, old}}
		older   = elsewhere{name: "disk", candidates: []catalog.Entry{old}}
		nothing = elsewhere{name: "disk"}
		away    = elsewhere{name: "bucket", err: fmt.Errorf("open: %w", store.ErrGone)}
		locked  = elsewhere{name: "vault", err: fmt.Errorf("read: %w", seal.ErrNoIdentity)}
		other   = elsewhere{name: "crm", err: fmt.Errorf("%w: it has copies of x.db", remote.ErrOtherPlace)}
	)
	for name, c := range map[string]struct {
		facts  facts
		ways   string
		reason string
		err    error // failure.ErrBusy stands for an error that is no sentinel's
	}{
		"missing, a remote has it":        {facts{verdict: integrity.Missing, elsewhere: []elsewhere{has}}, "restored:recent+old at nas", "the newest state at remote nas", nil},
		"the one that loses less":         {facts{verdict: integrity.Missing, elsewhere: []elsewhere{older, away, has}}, "restored:recent+old at nas, restored:old at disk", "remote nas", nil},
		"a first start":                   {facts{verdict: integrity.Missing, elsewhere: []elsewhere{nothing}}, "", "remote disk: it has no backup", nil},
		"a first start, to fail by":       {facts{verdict: integrity.Missing, onMissing: MissingFail, elsewhere: []elsewhere{nothing}}, "", "no backup of one", nil},
		"missing, to fail by":             {facts{verdict: integrity.Missing, onMissing: MissingFail, elsewhere: []elsewhere{has}}, "", "an error here", failure.ErrMissing},
		"missing, not known, to fail by":  {facts{verdict: integrity.Missing, onMissing: MissingFail, elsewhere: []elsewhere{away}}, "", "an error here", failure.ErrMissing},
		"missing, not known":              {facts{verdict: integrity.Missing, elsewhere: []elsewhere{nothing, away}}, "", "remote bucket: open", failure.ErrBusy},
		"missing, locked":                 {facts{verdict: integrity.Missing, elsewhere: []elsewhere{locked}}, "", "remote vault", failure.ErrNoUsableBackup},
		"missing, another's":              {facts{verdict: integrity.Missing, elsewhere: []elsewhere{other}}, "", "it has copies of x.db", failure.ErrNoUsableBackup},
		"missing, none usable, not known": {facts{verdict: integrity.Missing, stored: 2, elsewhere: []elsewhere{away}}, "", "of 2 stored backups none", failure.ErrNoUsableBackup},
		"missing, none usable":            {facts{verdict: integrity.Empty, stored: 2, elsewhere: []elsewhere{has}}, "restored:recent+old at nas", "no backup here is usable", nil},
		"damaged, a remote has it":        {facts{report: damaged, repair: failed, elsewhere: []elsewhere{has}}, "restored:recent+old at nas", "same key; no backup here is usable", nil},
		"damaged, not known":              {facts{report: damaged, repair: failed, elsewhere: []elsewhere{away}}, "", "remote bucket", failure.ErrNoUsableBackup},
		"damaged, and one is here":        {facts{report: damaged, repair: failed, candidates: []catalog.Entry{old}, elsewhere: []elsewhere{has}}, "restored:old", "the newest backup", nil},
		"damaged, and repaired":           {facts{report: damaged, repair: repairFacts{hope: true, tried: true}, elsewhere: []elsewhere{has}}, "repaired", "loses nothing", nil},
	} {
		t.Run(name, func(t *testing.T) {
			if c.facts.verdict == "" {
				c.facts.verdict = c.facts.report.Verdict
			}
			p := decide(c.facts)
			ways := describe(p.Options)
			for i, o := range p.Options {
				if o.Remote != nil {
					all := strings.Split(ways, ", ")
					all[i] += " at " + *o.Remote
					ways = strings.Join(all, ", ")
				}
			}
			if ways != c.ways || !strings.Contains(p.Reason, c.reason) {
				t.Errorf("%q because %q, want %q because of %q", ways, p.Reason, c.ways, c.reason)
			}
			switch {
			case errors.Is(c.err, failure.ErrBusy):
				if p.Err == nil || errors.Is(p.Err, failure.ErrNoUsableBackup) || failure.Hint(p.Err) == "" {
					t.Errorf("error %v", p.Err)
				}
			case !errors.Is(p.Err, c.err) || c.err == nil && p.Err != nil:
				t.Errorf("error %v, want %v", p.Err, c.err)
			}
		})
	}
}
