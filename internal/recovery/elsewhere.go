package recovery

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"example.com/snapd/catalog"
	"example.com/snapd/integrity"
	"example.com/snapd/internal/failure"
	"example.com/snapd/internal/message"
	"example.com/snapd/internal/proof"
	"example.com/snapd/internal/remote"
	"example.com/snapd/internal/store/seal"
)

// elsewhere is what is known of a remote. One is asked only where nothing here is usable.
type elsewhere struct {
	name       string
	candidates []catalog.Entry // the states there that may be restored, in the order in which they are tried
	err        error           // why there are none; nil where it answers, and has no backup
}

// copies is a remote that was opened.
type copies struct {
	*remote.Reader
	forget func() // removes what was copied from there
}

// askRemotes finds out what the remotes have.
func (c *Case) askRemotes(ctx context.Context, f *facts) error {
	for _, r := range c.Remotes {
		e := elsewhere{name: r.Name}
		if c.elsewhere[r.Name].Reader == nil {
			e.err = c.open(ctx, r)
		}
		if there := c.elsewhere[r.Name].Reader; there != nil && e.err == nil {
			e.candidates, e.err = there.Candidates(ctx)
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if errors.Is(e.err, remote.ErrNothing) {
			e.err = nil
		}
		f.elsewhere = append(f.elsewhere, e)
	}
	return nil
}

// open opens the copies at a remote until Close.
func (c *Case) open(ctx context.Context, r remote.Remote) error {
	scratch, forget, err := remote.MakeScratch(c.scratch())
	if err != nil {
		return err
	}
	there, err := remote.Look(ctx, r, c.Target.Dir, filepath.Base(c.Target.Database), scratch)
	if err != nil {
		forget()
		return err
	}
	if c.elsewhere == nil {
		c.elsewhere = map[string]copies{}
	}
	c.elsewhere[r.Name] = copies{there, forget}
	return nil
}

func (c *Case) closeRemotes() (err error) {
	for _, there := range c.elsewhere {
		err = errors.Join(err, there.Close())
		there.forget()
	}
	c.elsewhere = nil
	return err
}

// Copy opens the image of one of the candidates of a way out over a remote.
func (c *Case) Copy(ctx context.Context, way Option, e catalog.Entry) (proof.Image, error) {
	there := c.elsewhere[*way.Remote]
	p, err := there.Find(ctx, remote.Want{ID: e.ID})
	if err != nil {
		return proof.Image{}, err
	}
	i, err := there.Image(ctx, p)
	if err != nil {
		return proof.Image{}, err
	}
	return proof.Image{Image: i, Of: e, Base: i.Base}, nil
}

// LastOf are the greatest timeline and the greatest number of a backup at the remote of a way out: what is made here after it comes after them.
func (c *Case) LastOf(way Option) (timeline, number uint64) { return c.elsewhere[*way.Remote].Last() }

// Elsewhere is the plan for a database of that report once no backup here has passed its proof.
func (c *Case) Elsewhere(ctx context.Context, report integrity.Report, stored int) (Plan, error) {
	f := facts{database: c.Target.Database, verdict: report.Verdict, report: report, onMissing: c.Missing, stored: stored}
	err := c.askRemotes(ctx, &f)
	if err == nil {
		f.disks, err = findDisks(f.database, c.Target.Dir)
	}
	return decide(f), err
}

// remoteOptions are the ways out over remotes, the one that loses the least first.
func (f facts) remoteOptions() (options []Option) {
	for _, r := range f.elsewhere {
		if o := f.restoreOption(r.candidates); o != nil {
			o.Remote = &r.name
			options = append(options, *o)
		}
	}
	slices.SortStableFunc(options, func(a, b Option) int { return b.LosesSince.Compare(*a.LosesSince) })
	return options
}

// overRemote is why the first of these ways out is taken.
func overRemote(options []Option) string {
	return "no backup here is usable; the newest state at remote " + *options[0].Remote + " that passes its proof takes the database's place"
}

// backedUp reports whether there is a backup anywhere, or it could not be found out.
func (f facts) backedUp() bool {
	return f.stored > 0 || slices.ContainsFunc(f.elsewhere, func(e elsewhere) bool { return len(e.candidates) > 0 || e.err != nil })
}

// whatExists is what a missing database does not fit to.
func (f facts) whatExists() string {
	if f.stored > 0 {
		return fmt.Sprintf("%d backups exist", f.stored)
	}
	return "there are backups at a remote, or may be: " + f.notElsewhere()
}

// notElsewhere says of each remote why it does not help, "" where none was asked.
func (f facts) notElsewhere() string {
	var all []string
	for _, e := range f.elsewhere {
		why := "it has no backup"
		if e.err != nil {
			why = message.OneLine(e.err.Error())
		} else if len(e.candidates) > 0 {
			why = "it has some"
		}
		all = append(all, "remote "+e.name+": "+why)
	}
	return strings.Join(all, "; ")
}

// noneUsable is the error for a missing database without anything usable anywhere: reason says so.
func (f facts) noneUsable(reason string) error {
	advice := "run verify --all to see why, and look for copies of the backups elsewhere; to begin with a new database, start once with on-missing=ignore"
	known := f.stored > 0
	for _, e := range f.elsewhere {
		known = known || e.err != nil && remote.Unusable(e.err)
		if errors.Is(e.err, seal.ErrNoIdentity) {
			advice = "recover with --identity FILE, the file with the secret key that was printed with keygen; to begin with a new database, start once with on-missing=ignore"
		}
	}
	if !known { // a remote that cannot be reached has no say in what it has
		return message.WithHint(fmt.Errorf("%s: %s", f.database, reason), "try again when the remote answers; to begin with a new database all the same, start once with on-missing=ignore")
	}
	return message.WithHint(fmt.Errorf("%w: %s: %s", failure.ErrNoUsableBackup, f.database, reason), advice)
}
