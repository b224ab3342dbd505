package recorder

import (
	"context"
	"errors"
	"fmt"

	"example.com/snapd/catalog"
	"example.com/snapd/integrity"
	"example.com/snapd/internal/archive"
	"example.com/snapd/internal/capture"
	"example.com/snapd/internal/livedb"
	"example.com/snapd/internal/pages"
)

// Mark is a state of the database that the change log has.
type Mark struct {
	Timeline, Seq uint64 // Seq 0: that of the log's base
	Sum           string // of its image
}

// Point is the id of the recovery point, "" for that of the base.
func (m Mark) Point() string {
	if m.Seq == 0 {
		return ""
	}
	return catalog.PointID(m.Timeline, m.Seq)
}

// Within captures the state of tx, in an operation of its caller, who holds the operation lock and has
// judged whether the database is another one; files are as they were before it began. ok is false where that state is no recovery point.
func (r *Recorder) Within(ctx context.Context, tx *livedb.Tx, files livedb.Fingerprint) (m Mark, ok bool) {
	m, err := r.mark(ctx, tx, files, true)
	return m, err == nil
}

// mark captures the state of tx.
func (r *Recorder) mark(ctx context.Context, tx *livedb.Tx, files livedb.Fingerprint, locked bool) (m Mark, err error) {
	for range maxTurns {
		_, err = r.lookOnce(func() (capture.Outcome, error) {
			out, err := r.chain.Within(ctx, tx, files, r.o.Now)
			if err == nil {
				m.Timeline = r.timeline
				m.Seq, m.Sum = r.chain.State()
			}
			return out, err
		}, ctx)
		var again bool
		if again, err = r.turn(ctx, err, locked); !again {
			break
		}
	}
	return m, err
}

// Proven records that the backup or the comparison of a state gave what the change log has.
func (r *Recorder) Proven(m Mark) {
	if m.Seq == 0 {
		return
	}
	r.o.Host.Update("anchor", func(s *catalog.State) { s.AddAnchor(m.Timeline, m.Seq, r.o.Now()) })
	r.o.Host.Report(Event{Kind: Anchored, Point: m.Point(), Message: "the change log is proven up to " + m.Point()})
}

// Refuted records that they did not: what differs is captured at once. digests gives the pages that were read. damage is what a quick
// check of that state found, "" for nothing: then the database's own pages are wrong, and not the change log's. Else what went
// before is not verified any more.
func (r *Recorder) Refuted(ctx context.Context, m Mark, damage string, digests Digests) {
	r.mu.Lock()
	what := r.differing(ctx, m, digests)
	if r.chain != nil && r.timeline == m.Timeline {
		r.chain.Distrust()
	}
	r.mu.Unlock()
	e := Event{Kind: Refuted, Point: m.Point()}
	if damage == "" {
		r.o.Host.Update("anchor", func(s *catalog.State) { s.Doubt(m.Timeline, m.Seq, r.o.Now()) })
		e.Message = "the database is not what the change log has: commits were missed, or its file was changed without SQLite; all pages are compared now"
		e.Reason = what + "; a quick check finds nothing wrong with them"
	} else {
		e.Message = "the database is damaged, and the change log has its pages as they were committed: snapd recover puts them back"
		e.Reason = what + "; a quick check says: " + damage
	}
	r.o.Host.Report(e)
	r.Wake()
}

// Digests calls fn with the digest of each page of a state, in order.
type Digests func(ctx context.Context, fn func(pgno int64, d archive.Digest) error) error

// maxNamed bounds the pages that a message names.
const maxNamed = 10

// differing says which pages of the state of m the change log has otherwise. The caller holds r.mu.
func (r *Recorder) differing(ctx context.Context, m Mark, digests Digests) string {
	unknown := "which pages differ is not known"
	if r.chain == nil || r.timeline != m.Timeline {
		return unknown
	}
	since := func(uint32) bool { return false }
	if seq, _ := r.chain.State(); seq > m.Seq { // what was captured since may differ
		later, err := r.log.Map(ctx, m.Seq, seq)
		if err != nil {
			return unknown + ": " + err.Error()
		}
		defer later.Close() // only read
		since = func(pgno uint32) bool { _, ok := later.Digest(pgno); return ok }
	}
	n, named := 0, ""
	err := digests(ctx, func(pgno int64, d archive.Digest) error {
		if r.chain.Has(pgno, d) || since(uint32(pgno)) {
			return nil
		}
		if n++; n <= maxNamed {
			named += fmt.Sprintf(" %d", pgno)
		}
		return nil
	})
	switch {
	case err != nil:
		return unknown + ": " + err.Error()
	case n == 0:
		return "it ends before"
	case n > maxNamed:
		named += " …"
	}
	return fmt.Sprintf("at %s %d of its pages differ:%s", catalog.PointID(m.Timeline, m.Seq), n, named)
}

// BuildOn has later points build on a backup whose state the change log has.
func (r *Recorder) BuildOn(m Mark, id string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.chain != nil && r.timeline == m.Timeline && m.Seq > 0 {
		r.setBase(id)
	}
}

// ErrNotAnchored: there is nothing to prove, or no way that writers do not wait for.
var ErrNotAnchored = errors.New("there is nothing to be anchored")

// Anchor proves the change log by the database: of one state of it, all pages are compared and a quick
// check is made. Errors: ErrNotAnchored, and those of reading.
func (r *Recorder) Anchor(ctx context.Context) (report integrity.Report, err error) {
	files, err := livedb.TakeFingerprint(r.o.Database)
	if err != nil {
		return report, fmt.Errorf("anchor: %w", err)
	}
	wait, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	tx, err := livedb.Begin(wait, r.o.Database, livedb.Options{AvoidReadMark0: true, InPlace: true})
	if err != nil {
		return report, fmt.Errorf("anchor: %w", err)
	}
	defer func() { err = errors.Join(err, tx.Close()) }()
	if tx.Info().JournalMode != "wal" {
		return report, ErrNotAnchored
	}
	m, err := r.mark(ctx, tx, files, false)
	if err != nil {
		return report, fmt.Errorf("%w: %w", ErrNotAnchored, err)
	}
	_, state, err := r.o.Host.Read()
	if err != nil || m.Seq == 0 || state.Anchored(m.Timeline, m.Seq) {
		return report, errors.Join(ErrNotAnchored, err)
	}
	seed, err := r.o.Host.PageSeed(ctx)
	if err != nil {
		return report, fmt.Errorf("anchor: %w", err)
	}
	digests := digestsOf(tx, seed)
	var sum archive.Sum
	if err := digests(ctx, func(_ int64, d archive.Digest) error { sum.Add(d); return nil }); err != nil {
		return report, fmt.Errorf("anchor: %w", err)
	}
	if report, err = integrity.CheckTx(ctx, tx.Conn(), integrity.Options{Level: integrity.LevelQuick}); err != nil {
		return report, fmt.Errorf("anchor: %w", err)
	}
	if sum.Digits() != m.Sum {
		damage := ""
		if report.Damaged() && len(report.Findings) > 0 {
			damage = report.Findings[0].Message
		}
		r.Refuted(ctx, m, damage, digests)
		return report, nil
	}
	if report.Verdict == integrity.Healthy && len(report.Findings) == 0 {
		r.mu.Lock()
		r.checked = m
		r.mu.Unlock()
	}
	if !report.Damaged() {
		r.Proven(m)
	}
	return report, nil
}

// Checked reports whether an anchor of this process has checked the state, and found nothing.
func (r *Recorder) Checked(m Mark) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return m.Seq > 0 && m == r.checked
}

// digestsOf reads all pages of a state.
func digestsOf(tx *livedb.Tx, seed archive.Seed) Digests {
	return func(ctx context.Context, fn func(pgno int64, d archive.Digest) error) error {
		return (&pages.Snapshot{Tx: tx}).CopyTo(ctx, &digester{seed: seed, fn: fn}, nil)
	}
}

// digester makes the digests of the pages that it gets, one with each Write.
type digester struct {
	seed archive.Seed
	pgno int64
	fn   func(pgno int64, d archive.Digest) error
}

func (w *digester) Write(page []byte) (int, error) {
	w.pgno++
	return len(page), w.fn(w.pgno, archive.PageDigest(w.seed, w.pgno, page))
}
