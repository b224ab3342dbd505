package repair

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"

	"example.com/snapd/integrity"
	"example.com/snapd/internal/livedb"
	"example.com/snapd/internal/sqlitefile"
)

// applyLog brings into the copy at path what its log proves, as a checkpoint would,
// and removes the log. report is the check of the original.
func applyLog(ctx context.Context, path string, report integrity.Report, r *Result) (err error) {
	log, err := livedb.OpenSidecar(sqlitefile.WAL(path))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer log.Close()
	main, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, main.Close()) }()
	size, err := main.Stat()
	if err != nil {
		return err
	}
	logSize, err := log.Stat()
	if err != nil {
		return err
	}
	state, err := integrity.ProveLog(ctx, main, size.Size(), log, logSize.Size(), report)
	if err != nil {
		return err
	}
	if err := apply(ctx, main, log, state); err != nil {
		return fmt.Errorf("apply the log: %w", err)
	}
	r.Kept, r.Dropped, r.LogSalts, r.LogFrame = state.Kept, state.Dropped, state.Salts, state.Frame
	return livedb.RemoveSidecars(path)
}

// apply writes the pages of the proven state into the database, and gives it its size.
func apply(ctx context.Context, main, log *os.File, state integrity.LogState) error {
	if state.Pages == 0 {
		return nil
	}
	page, size := make([]byte, state.PageSize), int64(state.PageSize)
	err := state.Frames(func(pgno uint32, off int64) error {
		if err := ctx.Err(); err != nil {
			return err
		}
		if _, err := log.ReadAt(page, off); err != nil {
			return err
		}
		_, err := main.WriteAt(page, (int64(pgno)-1)*size)
		return err
	})
	if err != nil {
		return err
	}
	return main.Truncate(int64(state.Pages) * size)
}
