package main

import (
	"context"
	"errors"
	"path/filepath"

	"example.com/snapd/internal/archive"
	"example.com/snapd/internal/durable"
	"example.com/snapd/internal/livedb"
	"example.com/snapd/internal/pages"
)

// storeAlone is a backup up to the point where its bytes are durable, without the proof
// that makes it count. No program does this: it shows the cost of the proof.
func storeAlone(ctx context.Context, db, dir string) error {
	s, err := pages.Begin(ctx, db, livedb.Options{ScratchDir: dir})
	if err != nil {
		return err
	}
	err = storeSnapshot(ctx, s, filepath.Join(dir, "alone"+archive.Ext))
	return errors.Join(err, s.Close())
}

func storeSnapshot(ctx context.Context, s *pages.Snapshot, path string) (err error) {
	f, err := durable.Create(path, 0o600)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Discard()) }()
	w, err := archive.NewWriter(f, archive.WriterOptions{PageSize: s.Info().PageSize, ScratchDir: filepath.Dir(path)})
	if err != nil {
		return err
	}
	defer w.Abort()
	if err := s.CopyTo(ctx, w, nil); err != nil {
		return err
	}
	if _, err := w.Finish(archive.Facts{}); err != nil {
		return err
	}
	return f.CommitNew()
}
