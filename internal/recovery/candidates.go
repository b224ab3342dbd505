package recovery

import (
	"context"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"slices"
	"syscall"

	"example.com/snapd/catalog"
	"example.com/snapd/integrity"
	"example.com/snapd/internal/capture"
	"example.com/snapd/internal/catalogfile"
	"example.com/snapd/internal/durable"
	"example.com/snapd/internal/livedb"
	"example.com/snapd/internal/message"
	"example.com/snapd/internal/points"
	"example.com/snapd/internal/proof"
	"example.com/snapd/internal/sqlite"
	"example.com/snapd/internal/sqlitefile"
)

// candidates are the backups, and before them the newest recovery point of the present timeline that is newer.
func (c *Case) candidates(ctx context.Context, f *facts) (*newerPoints, error) {
	all, state, err := c.Catalog.Read()
	if err != nil {
		return nil, err
	}
	if f.candidates, f.stored, err = catalogfile.Candidates(c.Catalog); err != nil {
		return nil, err
	}
	n := &newerPoints{}
	n.set, n.points, err = points.Newer(ctx, c.Target.Dir, catalog.PresentOf(slices.Values(all), state).Number, all, state)
	if err != nil {
		return n, notRead(ctx, err)
	}
	if len(n.points) > 0 {
		f.candidates = append([]catalog.Entry{n.points[0].Entry()}, f.candidates...)
	}
	return n, nil
}

// notRead is err of reading the change log, and what a person may do: no recovery chooses by itself to do without.
func notRead(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return err
	}
	return message.WithHint(err, "find out why it cannot be read, and recover again; restore latest puts the newest backup back, without what was captured since")
}

// newerPoints are the recovery points since the newest backup, newest first. The image of one that is not verified was not looked at
// yet: the damage may be in it.
type newerPoints struct {
	set    *points.Set
	points []points.Point
}

// prove makes the newest point whose image is sound the first candidate. Where there is no room to
// look at one it is the newest that is verified, or else the newest, which is proven when it is restored.
func (n *newerPoints) prove(ctx context.Context, c *Case, f *facts) error {
	if len(n.points) == 0 {
		return nil
	}
	i, err := newestSound(len(n.points), func(i int) (bool, error) { return n.sound(ctx, c, n.points[i]) })
	if durable.IsNoSpace(err) {
		i = max(0, slices.IndexFunc(n.points, func(p points.Point) bool { return p.State == points.Verified }))
	} else if err != nil {
		return err
	}
	f.damagedPoints = i
	f.candidates = f.candidates[1:]
	if i < len(n.points) {
		f.candidates = append([]catalog.Entry{n.points[i].Entry()}, f.candidates...)
	}
	return nil
}

// sound checks the image of a point. One that damage keeps from being proven is not sound; where the system failed to read
// it, that is not known.
func (n *newerPoints) sound(ctx context.Context, c *Case, p points.Point) (bool, error) {
	image, err := n.set.Open(ctx, p, c.Catalog.OpenArchive)
	var system syscall.Errno
	switch {
	case ctx.Err() != nil:
		return false, ctx.Err()
	case errors.As(err, &system) && !errors.Is(err, fs.ErrNotExist):
		return false, notRead(ctx, fmt.Errorf("prove %s: %w", p.ID, err))
	case err != nil:
		return false, nil
	}
	defer image.Close() // it was only read
	report, err := integrity.CheckImage(ctx, image, p.ID, integrity.Options{Level: integrity.LevelQuick, ScratchDir: c.scratch()})
	return !report.Damaged(), err
}

// newestSound returns the least of n images, newest first, that is sound, and n where none is found. Damage stays: where
// an image has it, those after it have, too. So few are looked at.
func newestSound(n int, sound func(i int) (bool, error)) (int, error) {
	bad, good := -1, n
	for i, step := 0, 1; i < n && good == n; i, step = i+step, 2*step {
		if ok, err := sound(i); err != nil {
			return n, err
		} else if ok {
			good = i
		} else {
			bad = i
		}
	}
	for good-bad > 1 {
		i := (good + bad) / 2
		if ok, err := sound(i); err != nil {
			return n, err
		} else if ok {
			good = i
		} else {
			bad = i
		}
	}
	return good, nil
}

// originOf is where the database's files were when the image was taken.
func originOf(e catalog.Entry) catalogfile.Origin {
	if !proof.IsPoint(e) {
		return catalogfile.OriginOf(e)
	}
	var s capture.Source
	if json.Unmarshal(e.Source, &s) != nil {
		return catalogfile.Origin{}
	}
	o := catalogfile.Origin{Fingerprint: s.Files}
	if s.Log != nil && s.Log.LastFrame > 0 {
		o.Log = &sqlite.LogPosition{Salts: hex.EncodeToString(s.Log.Salts[:]), Frame: s.Log.LastFrame}
	}
	return o
}

// isLast reports whether it is proven that the image is what the last commit left: by the files' times, or
// by the log, which ends where it did then.
func isLast(ctx context.Context, database string, e catalog.Entry) (bool, error) {
	now, err := livedb.FingerprintIfAny(database)
	from := originOf(e)
	if err != nil || !e.Usable() || e.Adopted || !now.Main.Present {
		return false, err
	}
	if from.Unchanged(now) {
		return true, nil
	}
	if from.Log == nil || now.WAL.Size == 0 || now.Journal.Present || now.Main.ID != from.Main.ID {
		return false, nil
	}
	wal, err := livedb.OpenSidecar(sqlitefile.WAL(database))
	if err != nil {
		return false, err
	}
	defer wal.Close() // it was only read
	log, err := sqlitefile.ReadLog(ctx, sqlitefile.LogFile{R: wal, Size: now.WAL.Size, NextData: func(off int64) int64 { return livedb.NextData(wal, off) }}, 0)
	if err != nil {
		return false, err
	}
	salts := log.Header.Salts()
	if !log.Valid || hex.EncodeToString(salts[:]) != from.Log.Salts || log.CommitFrame != from.Log.Frame || log.LastFrame > log.CommitFrame {
		return false, nil
	}
	return endsThere(wal, log)
}

// generations is how often a log may have been begun again since a frame was written that is still in it.
const generations = 1 << 16

// endsThere reports whether the last commit that can be proven is the log's last one: the file ends with it, or
// goes on with a frame of an earlier generation. Anything else, such as zeros, may be what the disk made of a commit.
func endsThere(wal io.ReaderAt, log *sqlitefile.Log) (bool, error) {
	if log.Frames == log.CommitFrame {
		return !log.Partial, nil
	}
	next := make(sqlitefile.Frame, sqlitefile.FrameHeaderSize)
	if _, err := wal.ReadAt(next, log.PageAt(log.CommitFrame+1)-sqlitefile.FrameHeaderSize); err != nil {
		return false, fmt.Errorf("read the end of the log: %w", err)
	}
	is, was := log.Header.Salts(), next.Salts()
	ago := binary.BigEndian.Uint32(is[:]) - binary.BigEndian.Uint32(was[:]) // each generation adds 1
	return next.Page() != 0 && ago > 0 && ago < generations, nil
}
