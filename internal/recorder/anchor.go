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
	r.o.Host.Tell(Event{Kind: Anchored, Point: m.Point(), Message: "the change log is proven up to " + m.Point()})
}

// Refuted records that they did not: what differs is captured at once, and what went before is not verified any more.
func (r *Recorder) Refuted(m Mark, sum string) {
	r.o.Host.Update("anchor", func(s *catalog.State) { s.Doubt(m.Timeline, m.Seq, r.o.Now()) })
	r.mu.Lock()
	if r.chain != nil && r.timeline == m.Timeline {
		r.chain.Distrust()
	}
	r.mu.Unlock()
	r.o.Host.Tell(Event{Kind: Refuted, Point: m.Point(), Message: "the change log did not have every page that was committed; all pages are compared now",
		Reason: fmt.Sprintf("at %s the sum of its pages is %s, and the database's %s", catalog.PointID(m.Timeline, m.Seq), m.Sum, sum)})
	r.Wake()
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
	sum, err := sumOf(ctx, tx, r)
	if err != nil {
		return report, fmt.Errorf("anchor: %w", err)
	}
	if sum != m.Sum {
		r.Refuted(m, sum)
		return report, ErrNotAnchored
	}
	if report, err = integrity.CheckTx(ctx, tx.Conn(), integrity.Options{Level: integrity.LevelQuick}); err != nil {
		return report, fmt.Errorf("anchor: %w", err)
	}
	if !report.Damaged() {
		r.Proven(m)
	}
	return report, nil
}

// sumOf is the sum of all pages of a state.
func sumOf(ctx context.Context, tx *livedb.Tx, r *Recorder) (string, error) {
	seed, err := r.o.Host.PageSeed(ctx)
	if err != nil {
		return "", err
	}
	s := summer{seed: seed}
	if err := (&pages.Snapshot{Tx: tx}).CopyTo(ctx, &s, nil); err != nil {
		return "", err
	}
	return s.sum.Digits(), nil
}

// summer sums the digests of the pages that it gets, one with each Write.
type summer struct {
	seed archive.Seed
	sum  archive.Sum
}

func (s *summer) Write(page []byte) (int, error) {
	s.sum.Add(archive.PageDigest(s.seed, s.sum.Pages+1, page))
	return len(page), nil
}
