package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"example.com/snapd/catalog"
	"example.com/snapd/integrity"
	"example.com/snapd/internal/failure"
	"example.com/snapd/internal/message"
	"example.com/snapd/internal/points"
	"example.com/snapd/internal/remote"
	"example.com/snapd/internal/store"
	"example.com/snapd/internal/store/seal"
	"example.com/snapd/snapshot"
)

// copies is a remote that a command reads, instead of a backup directory.
type copies struct {
	From     string `placeholder:"URL" help:"Read the copies at this remote, such as s3://bucket/crm: needs no --db, and nothing else on this machine."`
	Identity string `placeholder:"FILE" help:"With --from: the secret key of sealed copies; see keygen."`
}

func (c copies) remote() copies { return c }

// onCopies is a command of a database that reads a remote, too.
type onCopies interface {
	remote() copies
	onCopies(ctx context.Context, a *app, r *remote.Reader) error
}

// away reads the remote of --from, and reports in done whether there is one.
func away(ctx context.Context, a *app, c onDatabase) (done bool, err error) {
	reading, ok := c.(onCopies)
	if !ok {
		return false, nil
	}
	from := reading.remote()
	if from.From == "" {
		if from.Identity != "" {
			return true, &usageError{"--identity is for the copies of a remote", "name that with --from URL"}
		}
		return false, nil
	}
	return true, from.read(ctx, a, "", func(r *remote.Reader) error { return reading.onCopies(ctx, a, r) })
}

// read calls fn with what reads the copies, and keeps what it needs in a private directory in scratch, "" for the system's.
func (c copies) read(ctx context.Context, a *app, scratch string, fn func(r *remote.Reader) error) (err error) {
	if err := remote.CheckURL(c.From); err != nil {
		return &usageError{"--from: " + err.Error(), snapshot.Hint(err)}
	}
	var ids seal.Identities
	if c.Identity != "" {
		if ids, err = seal.ReadIdentities(c.Identity); errors.Is(err, fs.ErrNotExist) {
			return &noSuchFile{err}
		} else if err != nil {
			return err
		}
	}
	from, err := remote.ReadStore(ctx, c.From, "")
	if err != nil {
		return explainCopies(err)
	}
	dir, remove, err := remote.MakeScratch(scratch)
	if err != nil {
		return err
	}
	defer remove()
	r, err := remote.NewReader(ctx, from, remote.ReadOptions{Identities: ids, Scratch: dir})
	if err != nil {
		return explainCopies(err)
	}
	defer r.Close()
	if err = fn(r); err == nil || errors.As(err, new(*outcome)) {
		said := map[string]bool{}
		for _, note := range r.Notes {
			if text := note.Error(); !said[text] {
				said[text] = true
				a.log.Warn("a copy cannot be read", "error", text)
			}
		}
	}
	return explainCopies(err)
}

// explainCopies maps the errors of a remote to those that have a code, and says what to do.
func explainCopies(err error) error {
	var unsound *remote.DamagedError
	switch {
	case errors.As(err, &unsound):
		return &snapshot.CorruptError{What: "the copy", Report: unsound.Report}
	case errors.Is(err, seal.ErrDamaged):
		return advised(failure.As(snapshot.ErrCorrupt, err), "choose another backup; list shows what there is")
	case errors.Is(err, seal.ErrNoIdentity):
		return advised(failure.As(snapshot.ErrRefused, err), "--identity names the file with the secret key that was printed with keygen")
	case errors.Is(err, remote.ErrNothing):
		return advised(failure.As(snapshot.ErrNotFound, err), "is it the right address?")
	case errors.Is(err, remote.ErrUnsealed):
		return advised(failure.As(snapshot.ErrRefused, err), "leave out --identity if they never were; else the owner of the store may have put them there")
	case errors.Is(err, store.ErrGone):
		return advised(failure.As(snapshot.ErrMissing, err), "is the address right, and the disk mounted?")
	case errors.Is(err, store.ErrDenied):
		return advised(failure.As(fs.ErrPermission, err), "are the credentials those of this store?")
	}
	return failure.Explain(err)
}

func (c *listCmd) onCopies(_ context.Context, a *app, r *remote.Reader) error {
	all := r.Backups()
	return a.result(listDocument{backupsDocument{listed(all)}, []snapshot.Quarantine{}}, func(w io.Writer) {
		if len(all) == 0 {
			fmt.Fprintf(w, "there are no backups at %s\n", c.From)
			return
		}
		backupTable(w, all)
	})
}

func (c *pointsCmd) onCopies(ctx context.Context, a *app, r *remote.Reader) error {
	q, err := c.query(a.JSON, time.Now())
	if err != nil {
		return err
	}
	limit := q.Limit
	if !a.JSON {
		q.Limit = 0
	}
	page, next, err := r.Points(ctx, q)
	if err != nil {
		return err
	}
	return a.result(pointsDocument{page, next}, func(w io.Writer) {
		printPoints(w, "there is no recovery point at "+c.remote().From, page, limit, time.Now())
	})
}

// proof is how the copy of a state is proven: where the catalog there vouches for it by its digests alone, unless a deeper
// check is asked for.
func proof(r *remote.Reader, base catalog.Entry, lvl integrity.Level) *integrity.Level {
	if lvl <= integrity.LevelQuick && r.Vouched(base) {
		return nil
	}
	return &lvl
}

func (c *verifyCmd) onCopies(ctx context.Context, a *app, r *remote.Reader) error {
	lvl, err := c.deep()
	if err != nil {
		return err
	}
	ids := c.ID
	if c.All {
		ids = nil
		for _, e := range r.Backups() {
			ids = append(ids, e.ID)
		}
	} else if len(ids) == 0 {
		ids = []string{"latest"}
	}
	var chosen []points.Point
	var done []snapshot.Backup
	corrupt := 0
	for _, id := range ids {
		p, err := r.Find(ctx, remote.Want{ID: id})
		if err != nil && c.All {
			continue // what cannot be read is listed as it is
		} else if err != nil {
			return fmt.Errorf("verify %s: %w", id, err)
		}
		chosen = append(chosen, p)
	}
	if c.All {
		for _, e := range r.Backups() {
			if e.Verification.State == catalog.Failed {
				done = append(done, e)
				corrupt++
			}
		}
	}
	for _, p := range chosen {
		e := p.Entry()
		e.Verification, err = proveCopy(ctx, a, r, p, lvl)
		if errors.Is(err, snapshot.ErrCorrupt) {
			corrupt++
		} else if err != nil {
			return err
		}
		done = append(done, e.Public())
	}
	if err := a.result(backupsDocument{listed(done)}, func(w io.Writer) { printVerified(w, done) }); err != nil {
		return err
	}
	if corrupt > 0 {
		return &outcome{exitCorrupt, fmt.Sprintf("%s of %d failed the proof", count(corrupt, "backup", "backups"), len(done))}
	}
	return nil
}

// proveCopy reads a copy whole.
func proveCopy(ctx context.Context, a *app, r *remote.Reader, p points.Point, lvl integrity.Level) (catalog.Verification, error) {
	now := time.Now().UTC()
	v := catalog.Verification{State: catalog.Verified, Level: lvl.String(), At: &now}
	i, err := r.Image(ctx, p)
	if err == nil {
		defer i.Close()
		total := i.Shape().Bytes()
		_, err = remote.Prove(ctx, i, r.Scratch, remote.UnpackOptions{Check: proof(r, i.Base, lvl),
			Progress: func(done int64) { a.console.progress("verify "+p.ID, done, total) }})
	}
	err = explainCopies(err)
	if errors.Is(err, snapshot.ErrCorrupt) {
		return catalog.Verification{State: catalog.Failed, At: &now, Detail: message.OneLine(err.Error())}, err
	}
	if err != nil {
		return v, fmt.Errorf("verify %s: %w", p.ID, err)
	}
	return v, nil
}

// fromRemote restores to a new file from the remote of --from.
func (c *restoreCmd) fromRemote(ctx context.Context, a *app) error {
	if c.To == "" {
		return &usageError{"--from writes to a new file", "name it with --to PATH"}
	}
	if c.ID != "" && c.At != "" {
		return &usageError{"an ID and --at exclude each other", "leave out both for the newest state"}
	}
	return c.copies.read(ctx, a, filepath.Dir(c.To), func(r *remote.Reader) error {
		return c.unpackThere(ctx, a, r, func(p points.Point, doc snapshot.RestoreResult) error {
			return a.result(doc, func(w io.Writer) {
				fmt.Fprintf(w, "restored %s, the state of %s (%s), to %s (%s, %s)\n", p.ID, when(p.At), ago(p.At), visible(c.To), size(p.Bytes), millis(doc.DurationMS))
			})
		})
	})
}

// unpackThere writes the state that is asked for to the new file of --to, and then calls done.
func (c *restoreCmd) unpackThere(ctx context.Context, a *app, r *remote.Reader, done func(points.Point, snapshot.RestoreResult) error) error {
	begin := time.Now()
	p, err := c.pointThere(ctx, r)
	if err != nil {
		return fmt.Errorf("restore: %w", err)
	}
	i, err := r.Image(ctx, p)
	if err != nil {
		return fmt.Errorf("restore %s: %w", p.ID, err)
	}
	defer i.Close()
	for _, s := range i.Skipped {
		a.log.Warn("a backup there cannot be used; the state is read over one before it", "backup", s.Backup.ID, "error", s.Err.Error())
	}
	total, reason := i.Shape().Bytes(), "another path was asked for"
	err = remote.Unpack(ctx, i, c.To, remote.UnpackOptions{Check: proof(r, i.Base, integrity.LevelQuick),
		Progress: func(done int64) { a.console.progress("restore "+p.ID, done, total) },
		Resumed:  func(bytes int64) { reason += "; " + size(bytes) + " of it were read by a restore that was cut short" }})
	if err != nil {
		return err
	}
	p.Bytes = total
	return done(p, snapshot.RestoreResult{Restored: p.ID, To: c.To, Method: snapshot.File, Reason: reason,
		DurationMS: time.Since(begin).Milliseconds()})
}

// pointThere finds the state that is asked for: without an ID and a time the newest.
func (c *restoreCmd) pointThere(ctx context.Context, r *remote.Reader) (points.Point, error) {
	if c.At != "" {
		return pointAt(ctx, finder{r}, c.At, time.Now())
	}
	return r.Find(ctx, remote.Want{ID: c.ID})
}

// finder finds recovery points by time as a Manager does.
type finder struct{ r *remote.Reader }

func (f finder) PointAt(ctx context.Context, t time.Time) (snapshot.Point, error) {
	p, err := f.r.Find(ctx, remote.Want{At: t})
	return p, failure.Explain(err)
}

// mustHaveDirectory refuses a target whose directory is not there.
func mustHaveDirectory(what, target string) error {
	if _, err := os.Stat(filepath.Dir(target)); target != "" && errors.Is(err, fs.ErrNotExist) {
		return message.WithHint(&noSuchFile{fmt.Errorf("%s to %s: %w", what, target, err)}, "make that directory first, or choose another one")
	}
	return nil
}
