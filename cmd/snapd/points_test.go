package main

import (
	"context"
	"errors"
	"path/filepath"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"example.com/snapd/internal/archive"
	"example.com/snapd/internal/capture"
	"example.com/snapd/internal/changes"
	"example.com/snapd/internal/points"
	"example.com/snapd/snapshot"
)

// captureCmd takes what was committed since the latest backup, or since it did last, as a recovery point, as
// serve does: capture DB [TIME], at that time where it is given.
func captureCmd(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 1 || len(args) > 2 {
		ts.Fatalf("usage: capture DB [TIME]")
	}
	at := time.Now()
	if len(args) == 2 {
		var err error
		at, err = time.Parse(time.RFC3339, args[1])
		ts.Check(err)
	}
	ctx := context.Background()
	m, err := snapshot.Open(ctx, snapshot.Config{Database: ts.MkAbs(args[0])})
	ts.Check(err)
	base, err := m.Find("latest")
	ts.Check(err)
	r, err := archive.Open(m.ArchivePath(base))
	ts.Check(err)
	defer r.Close()
	log, err := changes.Open(points.Directory(m.Dir(), base.Timeline.Number), changes.Head{Timeline: base.Timeline.Number,
		Database: filepath.Base(m.Database()), Base: base.ID, PageSize: base.PageSize, PageSeed: r.Seed().String()})
	ts.Check(err)
	chain, err := capture.Open(ctx, m.Database(), capture.Base{Archive: r, At: base.CreatedAt}, log)
	ts.Check(err)
	_, err = chain.Capture(ctx, func() time.Time { return at })
	ts.Check(errors.Join(err, chain.Rest(), log.Close()))
}
