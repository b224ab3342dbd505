package snapshot

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"example.com/snapd/integrity"
	"example.com/snapd/internal/durable"
	"example.com/snapd/internal/livedb"
)

// quarantineName returns a free path corrupted_<time>.db in the backup directory.
func (m *Manager) quarantineName() (string, error) {
	stem := filepath.Join(m.cfg.Dir, "corrupted_"+m.now().Format("20060102_150405"))
	for n := 1; n < 1000; n++ {
		name := stem + ".db"
		if n > 1 {
			name = fmt.Sprintf("%s_%d.db", stem, n)
		}
		if free(name) {
			return name, nil
		}
	}
	return "", fmt.Errorf("quarantine: a thousand names like %s.db are taken", stem)
}

func free(name string) bool {
	for _, suffix := range append([]string{""}, sidecarSuffixes...) {
		if !isMissing(name + suffix) {
			return false
		}
	}
	return isMissing(reportPath(name))
}

// reportPath is where a quarantined database's report lies.
func reportPath(quarantine string) string { return strings.TrimSuffix(quarantine, ".db") + ".json" }

// preserve keeps the database and its -wal and -journal, whole, under the
// quarantine's name. The originals stay where they are.
func (m *Manager) preserve(ctx context.Context, in *intent) error {
	if in.Report != nil && isMissing(reportPath(in.Quarantine)) {
		if err := writeReport(in.Quarantine, *in.Report); err != nil {
			return err
		}
		m.atPoint("report written")
	}
	files := []*fileID{in.Replaced}
	for i := range in.Sidecars {
		if in.Sidecars[i].Suffix != "-shm" {
			files = append(files, &in.Sidecars[i])
		}
	}
	for _, id := range files {
		if id == nil {
			continue
		}
		from, to := m.cfg.Database+id.Suffix, in.Quarantine+id.Suffix
		if isMissing(from) || !isMissing(to) {
			continue // done before the crash that brought us here again
		}
		if err := m.keep(ctx, from, to, id.Bytes); err != nil {
			return fmt.Errorf("quarantine %s: %w", from, err)
		}
		m.atPoint("kept " + from[len(m.cfg.Database):])
	}
	if err := durable.SyncDir(m.cfg.Dir); err != nil {
		return fmt.Errorf("quarantine: %w", err)
	}
	return nil
}

func (m *Manager) keep(ctx context.Context, from, to string, bytes int64) error {
	// A log is linked: it loses its other name soon. The database is copied where
	// there is room, so that what was replaced can be retired.
	room := durable.Preflight(m.cfg.Dir, bytes)
	if (from != m.cfg.Database || room != nil) && os.Link(from, to) == nil {
		return nil
	}
	if room != nil {
		return room
	}
	src, err := livedb.Open(from)
	if err != nil {
		return err
	}
	defer src.Close()
	return durable.CopyFile(ctx, src, bytes, to, 0o600)
}

// release undoes preserve: the database stays in use. Where nobody has touched
// it, what was preserved lies in its own place again, and the quarantine goes.
// Otherwise the quarantine stays, but no longer as another name of the live file,
// whose sidecars SQLite would look for in the wrong place.
func (m *Manager) release(ctx context.Context, in *intent, untouched bool) error {
	if in.Quarantine == "" {
		return nil
	}
	if !untouched {
		return m.part(ctx, in)
	}
	for _, side := range in.Sidecars {
		if side.Suffix == "-shm" || isMissing(in.Quarantine+side.Suffix) || !isMissing(m.cfg.Database+side.Suffix) {
			continue
		}
		if err := durable.Rename(in.Quarantine+side.Suffix, m.cfg.Database+side.Suffix); err != nil {
			return err
		}
	}
	for _, suffix := range append([]string{""}, sidecarSuffixes...) {
		if err := durable.Remove(in.Quarantine + suffix); err != nil {
			return err
		}
	}
	return durable.Remove(reportPath(in.Quarantine))
}

// part makes the quarantined database a file of its own.
func (m *Manager) part(ctx context.Context, in *intent) error {
	kept, err := identify(in.Quarantine, "")
	if err != nil {
		return err
	}
	now, err := identify(m.cfg.Database, "")
	if err != nil {
		return err
	}
	if kept == nil || now == nil || kept.ID != now.ID {
		return nil
	}
	if err := durable.Preflight(m.cfg.Dir, now.Bytes); err != nil {
		return err
	}
	src, err := livedb.Open(m.cfg.Database)
	if err != nil {
		return err
	}
	defer src.Close()
	return durable.CopyFile(ctx, src, now.Bytes, in.Quarantine, 0o600)
}

// writeReport puts the check's report beside the quarantined database.
func writeReport(quarantine string, report integrity.Report) error {
	raw, err := json.MarshalIndent(report, "", "  ")
	if err != nil {
		return fmt.Errorf("quarantine report: %w", err)
	}
	if err := durable.WriteFile(reportPath(quarantine), append(raw, '\n'), 0o600); err != nil {
		return fmt.Errorf("quarantine report: %w", err)
	}
	return nil
}

// tellQuarantined says where a swap has kept what it replaced, if it has.
func (m *Manager) tellQuarantined(ctx context.Context, operation string, s *swap) {
	if s.quarantine != "" {
		kept, what := quarantined(s.quarantine), "the damaged database"
		if kept != s.quarantine {
			what = "an orphan log"
		}
		m.ev.emit(ctx, Event{Type: EventQuarantined, Operation: operation, Path: kept,
			Message: what + " was kept as " + filepath.Base(kept)})
	}
}

// quarantined is the file that stands for what was kept: the database, or its
// first sidecar where that was all there was.
func quarantined(quarantine string) string {
	for _, suffix := range []string{"", "-wal", "-journal"} {
		if !isMissing(quarantine + suffix) {
			return quarantine + suffix
		}
	}
	return quarantine
}

// dressLike gives the staged file the mode and owner of the file it replaces,
// or, where there is none, the owner of the directory.
func dressLike(staged, target string) error {
	st, err := os.Stat(target)
	missing := errors.Is(err, fs.ErrNotExist)
	if missing {
		st, err = os.Stat(filepath.Dir(target))
	}
	if err != nil {
		return err
	}
	if !missing {
		if err := os.Chmod(staged, st.Mode().Perm()); err != nil {
			return err
		}
	}
	return chownLike(staged, st)
}

// closeToOthers takes a quarantined database's rights from group and others,
// once it is no longer the live file's other name.
func closeToOthers(quarantine string) error {
	if quarantine == "" {
		return nil
	}
	for _, suffix := range append([]string{""}, sidecarSuffixes...) {
		if isMissing(quarantine + suffix) {
			continue
		}
		if err := os.Chmod(quarantine+suffix, 0o600); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("quarantine: %w", err)
		}
	}
	return nil
}
