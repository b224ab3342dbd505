package snapshot

import (
	"context"
	"errors"
	"fmt"
	"io"

	"example.com/snapd/catalog"
	"example.com/snapd/integrity"
	"example.com/snapd/internal/archive"
	"example.com/snapd/internal/durable"
	"example.com/snapd/internal/livedb"
	"example.com/snapd/internal/pages"
)

// source is a snapshot's image, ready to be checked and compressed: either the open
// transaction, or the private copy that let go of it.
type source struct {
	info   livedb.Info
	copyTo func(context.Context, io.Writer, func(int64)) error
	// check judges the image. With beside it may run while copyTo does.
	check  func(context.Context) (integrity.Report, error)
	beside bool
	close  func() error    // ends the transaction, or removes the copy; may be called twice
	seed   archive.Seed    // of the page digests of its archive
	base   *archive.Reader // of a similar image, whose frames can be reused; may be nil

	report  *integrity.Report // once judged
	judging chan struct{}     // closed when the goroutine of judge has ended; nil where there is none
	err     error             // that of check, after judging
}

// besides reports whether the check may take a core while others compress. An
// automatic backup has promised its host one.
func (m *Manager) besides(req Request) bool {
	return req.Kind != catalog.Auto && m.allWorkers() > 1
}

// source opens the snapshot's image. In rollback-journal modes every writer waits for
// our read lock, so the image is first spooled at copy speed.
func (m *Manager) source(ctx context.Context, snap *pages.Snapshot, req Request) (*source, error) {
	if snap.Info().JournalMode == "wal" || req.Trigger == catalog.TriggerPreRestore {
		return m.inPlace(snap, req), nil
	}
	if err := durable.Preflight(m.cfg.Dir, snap.Info().Bytes()); err != nil {
		return nil, fmt.Errorf("backup: spool: %w", err)
	}
	spool, err := durable.Scratch(m.cfg.Dir, "spool")
	if err != nil {
		return nil, fmt.Errorf("backup: spool: %w", err)
	}
	src, err := m.spooled(ctx, snap, spool, req, snap.Close)
	if err != nil {
		return nil, errors.Join(err, spool.Close())
	}
	return src, nil
}

// inPlace reads the image in the transaction itself, which a restore keeps to the end.
func (m *Manager) inPlace(snap *pages.Snapshot, req Request) *source {
	end := snap.Close
	if req.Trigger == catalog.TriggerPreRestore {
		end = func() error { return nil }
	}
	src := &source{info: snap.Info(), close: end, copyTo: func(ctx context.Context, w io.Writer, p func(int64)) error {
		return snap.CopyTo(ctx, w, p)
	}}
	checked := snap.Tx
	if second := snap.SecondReader(); second != nil {
		checked, src.beside = second, true
	}
	src.check = func(ctx context.Context) (integrity.Report, error) {
		defer checked.Prefetch(ctx)()
		return integrity.CheckTx(ctx, checked.Conn(), integrity.Options{Level: integrity.LevelQuick})
	}
	return src
}

// spooled copies the image, and ends the snapshot.
func (m *Manager) spooled(ctx context.Context, snap *pages.Snapshot, spool *durable.ScratchFile, req Request, end func() error) (*source, error) {
	info := snap.Info()
	if err := snap.Spool(ctx, spool, m.phase(ctx, req, "spool", info.Bytes())); err != nil {
		return nil, err
	}
	m.atPoint("spooled")
	if err := end(); err != nil {
		return nil, fmt.Errorf("backup: end snapshot: %w", err)
	}
	return &source{info: info, close: spool.Close, beside: m.besides(req),
		copyTo: func(ctx context.Context, w io.Writer, p func(int64)) error {
			return feed(ctx, w, spool.File, info.Bytes(), p)
		},
		check: func(ctx context.Context) (integrity.Report, error) {
			report, err := integrity.CheckCopy(ctx, spool.Name(), integrity.Options{Level: integrity.LevelQuick})
			report.Path = m.cfg.Database
			return report, err
		}}, nil
}

// judge begins the check: at once and to its end, or beside what follows. damaged is
// called when it proves damage.
func (s *source) judge(ctx context.Context, damaged func()) {
	run := func() {
		report, err := s.check(ctx)
		if s.err = err; err == nil {
			s.report = &report
			if report.Damaged() {
				damaged()
			}
		}
	}
	s.judging = make(chan struct{})
	if !s.beside {
		run()
		close(s.judging)
		return
	}
	go func() {
		defer close(s.judging)
		run()
	}()
}

// verdict waits for the end of the check. It is a [CorruptError] where the image is
// damaged.
func (m *Manager) verdict(src *source) error {
	<-src.judging
	if src.err == nil && src.report.Damaged() {
		return m.corrupt(*src.report)
	}
	return src.err
}
