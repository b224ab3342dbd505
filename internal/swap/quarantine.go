package swap

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"example.com/snapd/internal/durable"
	"example.com/snapd/internal/livedb"
)

// newQuarantine returns a free path corrupted_<time>.db in the target's directory.
func (t *Target) newQuarantine() (string, error) {
	stem := filepath.Join(t.Dir, "corrupted_"+t.Now().UTC().Format("20060102_150405"))
	for n := 1; n < 1000; n++ {
		name := stem + ".db"
		if n > 1 {
			name = fmt.Sprintf("%s_%d.db", stem, n)
		}
		if free, err := isFree(name); err != nil || free {
			return name, err
		}
	}
	return "", fmt.Errorf("quarantine: a thousand names like %s.db are taken", stem)
}

// isFree reports whether no file of a quarantine of that name exists.
func isFree(quarantine string) (bool, error) {
	paths := []string{reportPath(quarantine)}
	for _, suffix := range fileSuffixes {
		paths = append(paths, quarantine+suffix)
	}
	for _, path := range paths {
		if missing, err := isMissing(path); err != nil || !missing {
			return false, err
		}
	}
	return true, nil
}

// reportPath is the report of a quarantine.
func reportPath(quarantine string) string { return strings.TrimSuffix(quarantine, ".db") + ".json" }

// preserve keeps the database and its -wal and -journal, whole, under the quarantine's
// name. The originals stay where they are.
func (t *Target) preserve(ctx context.Context, in *intent) error {
	if in.Quarantine == "" {
		return nil
	}
	if err := t.writeReport(in); err != nil {
		return fmt.Errorf("quarantine report: %w", err)
	}
	var files []*fileState
	if in.Replaced != nil {
		files = append(files, in.Replaced)
	}
	for i := range in.Sidecars {
		if in.Sidecars[i].holdsData() {
			files = append(files, &in.Sidecars[i])
		}
	}
	for _, file := range files {
		if err := t.preserveFile(ctx, file, in.Quarantine); err != nil {
			return fmt.Errorf("quarantine %s: %w", t.Database+file.Suffix, err)
		}
	}
	// A link is not durable yet, nor is a copy whose process died before it could sync.
	if err := durable.SyncDir(t.Dir); err != nil {
		return fmt.Errorf("quarantine: %w", err)
	}
	return nil
}

// writeReport puts the report next to the quarantine, unless that was done before.
func (t *Target) writeReport(in *intent) error {
	path := reportPath(in.Quarantine)
	if missing, err := isMissing(path); err != nil || !missing || in.Report == nil {
		return err
	}
	var text bytes.Buffer
	if err := json.Indent(&text, in.Report, "", "  "); err != nil {
		return err
	}
	text.WriteByte('\n')
	if err := durable.WriteFile(path, text.Bytes(), 0o600); err != nil {
		return err
	}
	t.point("report written")
	return nil
}

// preserveFile does nothing where it was done before the crash that brought us here
// again. It copies the file, so that an application that starts after a crash does not
// write into the quarantine, and a replaced database can be retired. Where there is no
// room for a copy it links: the file loses its other name soon.
func (t *Target) preserveFile(ctx context.Context, file *fileState, quarantine string) error {
	from, to := t.Database+file.Suffix, quarantine+file.Suffix
	gone, err := isMissing(from)
	if err != nil || gone {
		return err
	}
	if missing, err := isMissing(to); err != nil || !missing {
		return err
	}
	if room := durable.Fits(t.Dir, file.Bytes); room == nil {
		err = copyFile(ctx, from, file, to)
	} else if os.Link(from, to) != nil {
		err = room
	}
	if err != nil {
		return err
	}
	t.point("kept " + file.Suffix)
	return nil
}

// copyFile makes to a durable copy of a database or, by the suffix, a sidecar, if it is the
// file that was seen. SQLite may have locks on the former, which closing a descriptor must not drop.
func copyFile(ctx context.Context, from string, seen *fileState, to string) error {
	var src io.ReaderAt
	var f *os.File
	if seen.Suffix == "" {
		db, err := livedb.Open(from)
		if err != nil {
			return err
		}
		defer db.Close()
		src, f = db, db.Descriptor()
	} else {
		side, err := livedb.OpenSidecar(from)
		if err != nil {
			return err
		}
		defer side.Close()
		src, f = side, side
	}
	if now, err := stateOfOpen(f); err != nil {
		return err
	} else if now.ID != seen.ID { // another user may have put another's file there
		return ErrChanged
	}
	return durable.CopyFile(ctx, src, seen.Bytes, to, 0o600)
}

// putBack undoes preserve: what was preserved is in its own place again, and the
// quarantine goes.
func (t *Target) putBack(in *intent) error {
	if in.Quarantine == "" {
		return nil
	}
	for _, side := range in.Sidecars {
		from, to := in.Quarantine+side.Suffix, t.Database+side.Suffix
		moved, err := isMissing(to)
		if err != nil {
			return err
		}
		if missing, err := isMissing(from); err != nil {
			return err
		} else if missing || !moved || !side.holdsData() {
			continue
		}
		if err := giveTo(from, t.Database); err != nil {
			return err
		}
		if err := durable.Rename(from, to); err != nil {
			return err
		}
	}
	for _, suffix := range fileSuffixes {
		if err := durable.Remove(in.Quarantine + suffix); err != nil {
			return err
		}
	}
	return durable.Remove(reportPath(in.Quarantine))
}

// part makes the quarantine's files their own where they are other names of the live
// ones: the application writes into those, and SQLite looks for sidecars by name.
func (t *Target) part(ctx context.Context, in *intent) error {
	if in.Quarantine == "" {
		return nil
	}
	for _, suffix := range fileSuffixes {
		preserved, err := stateOf(in.Quarantine, suffix)
		if err != nil {
			return err
		}
		now, err := stateOf(t.Database, suffix)
		if err != nil {
			return err
		}
		if preserved == nil || now == nil || preserved.ID != now.ID {
			continue
		}
		if err := durable.Fits(t.Dir, now.Bytes); err != nil {
			return err
		}
		if err := copyFile(ctx, t.Database+suffix, now, in.Quarantine+suffix); err != nil {
			return err
		}
	}
	return restrictAccess(in.Quarantine)
}

// restrictAccess takes the rights of group and others from a quarantine, once it is no
// longer another name of the live database.
func restrictAccess(quarantine string) error {
	if quarantine == "" {
		return nil
	}
	for _, suffix := range fileSuffixes {
		f, err := durable.OpenRegular(quarantine+suffix, os.O_RDONLY, 0)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err == nil {
			err = errors.Join(chmod(f, 0o600), f.Close())
		}
		if err != nil {
			return fmt.Errorf("quarantine: %w", err)
		}
	}
	return nil
}

// kept is the file that stands for a quarantine: the database, or its first sidecar
// where that was all there was; "" where nothing was preserved.
func kept(quarantine string) (string, error) {
	if quarantine == "" {
		return "", nil
	}
	for _, suffix := range []string{"", "-wal", "-journal"} {
		if missing, err := isMissing(quarantine + suffix); err != nil || !missing {
			return quarantine + suffix, err
		}
	}
	return "", nil
}

// KeepOrphans copies a -wal or -journal without a database into a quarantine: SQLite
// deletes it when the application creates the database again. It returns the path of
// the first copy, "" where there was nothing to keep.
func (t *Target) KeepOrphans(ctx context.Context) (string, error) {
	quarantine := ""
	for _, suffix := range []string{"-wal", "-journal"} {
		seen, err := stateOf(t.Database, suffix)
		if errors.Is(err, livedb.ErrNotRegular) || err == nil && (seen == nil || seen.Bytes == 0) {
			continue
		}
		if err == nil && quarantine == "" {
			quarantine, err = t.newQuarantine()
		}
		if err == nil {
			err = copyFile(ctx, t.Database+suffix, seen, quarantine+suffix)
		}
		if err != nil {
			return "", fmt.Errorf("keep %s: %w", t.Database+suffix, err)
		}
	}
	return kept(quarantine)
}
