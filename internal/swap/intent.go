package swap

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"

	"example.com/snapd/internal/durable"
	"example.com/snapd/internal/livedb"
	"example.com/snapd/internal/message"
	"example.com/snapd/internal/sqlitefile"
)

// intent is the content of the intent file; see the package comment.
type intent struct {
	Version int `json:"version"`
	Note
	Target     string          `json:"target"`
	Staged     string          `json:"staged"`
	Bytes      int64           `json:"bytes"`
	BLAKE3     string          `json:"blake3"`
	Replaced   *fileState      `json:"replaced"`
	Sidecars   []fileState     `json:"sidecars"`
	Quarantine string          `json:"quarantine,omitempty"`
	Report     json.RawMessage `json:"report,omitempty"`
	StagedID   livedb.ID       `json:"staged_id"`
	InPlace    *inPlace        `json:"in_place,omitempty"` // nil for a rename

	staged  *fileState    // the staged file as it was proven
	journal *durable.File // staged, for InPlace; nil after a crash
}

// fileState recognises a file that was not written to since.
type fileState struct {
	Suffix string    `json:"suffix"` // "" or "-wal", "-shm", "-journal"
	ID     livedb.ID `json:"id"`
	Bytes  int64     `json:"bytes"`
	MTime  int64     `json:"mtime_ns"`
}

const intentVersion = 1

// maxIntent bounds an intent file. A report in it has up to a hundred findings of
// 500 bytes, which JSON may have to escape.
const maxIntent = 1 << 20

// intentPath is the intent file of a database.
func intentPath(database string) string {
	return filepath.Join(filepath.Dir(database), "."+filepath.Base(database)+".snapd-restore")
}

// Sweep removes the temporary files that a crash left of a database and of its intent.
// The caller holds the lock, and no restore is pending.
func Sweep(database string) error {
	for _, target := range []string{database, intentPath(database), sqlitefile.Journal(database)} {
		if _, err := durable.SweepFor(filepath.Dir(target), filepath.Base(target)); err != nil {
			return err
		}
	}
	return nil
}

// stateOf returns the state of database+suffix, nil when there is no such file.
func stateOf(database, suffix string) (*fileState, error) {
	path := database + suffix
	st, err := os.Lstat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("look at %s: %w", path, err)
	}
	if !st.Mode().IsRegular() {
		return nil, message.WithHint(fmt.Errorf("%s: %w", path, livedb.ErrNotRegular), "SQLite would not use it either: move it away")
	}
	return newState(path, suffix, st)
}

// stateOfOpen is the state of an open file.
func stateOfOpen(f *os.File) (*fileState, error) {
	st, err := f.Stat()
	if err != nil {
		return nil, err
	}
	return newState(f.Name(), "", st)
}

func newState(path, suffix string, st fs.FileInfo) (*fileState, error) {
	id, err := livedb.IdentityOf(path, st)
	if err != nil {
		return nil, err
	}
	return &fileState{Suffix: suffix, ID: id, Bytes: st.Size(), MTime: st.ModTime().UnixNano()}, nil
}

// is reports whether a and b are the same untouched file, or both none.
func (a *fileState) is(b *fileState) bool {
	if a == nil || b == nil {
		return a == b
	}
	return *a == *b
}

// holdsData reports whether a is a file whose loss could cost a row.
func (a *fileState) holdsData() bool { return a != nil && a.Suffix != "-shm" }

// lists reports whether side is one of the sidecars of the intent.
func (in *intent) lists(side *fileState) bool {
	return slices.ContainsFunc(in.Sidecars, func(s fileState) bool { return s.is(side) })
}

// write makes the intent durable.
func (in *intent) write(database string) error {
	raw, err := json.Marshal(in)
	if err == nil && len(raw) > maxIntent {
		err = fmt.Errorf("%d bytes, at most %d", len(raw), maxIntent)
	}
	if err == nil {
		err = durable.WriteFile(intentPath(database), raw, 0o600)
	}
	if err != nil {
		return fmt.Errorf("intent file: %w", err)
	}
	return nil
}

// quarantineForm is the form of a quarantine's name.
var quarantineForm = regexp.MustCompile(`^corrupted_[0-9]{8}_[0-9]{6}(_[0-9]{1,3})?\.db$`)

// readIntent returns the intent of the database, nil when there is none.
func (t *Target) readIntent() (*intent, error) {
	path := intentPath(t.Database)
	f, err := durable.OpenRegular(path, os.O_RDONLY, 0)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, nil
	case errors.Is(err, durable.ErrNotRegular):
		return nil, unusable(path, "not a regular file")
	case err != nil:
		return nil, fmt.Errorf("intent file: %w", err)
	}
	defer f.Close()
	st, err := f.Stat()
	if err != nil {
		return nil, fmt.Errorf("intent file: %w", err)
	}
	if !ownedByUs(st) {
		return nil, unusable(path, "it belongs to another user")
	}
	raw, err := io.ReadAll(io.LimitReader(f, maxIntent+1))
	if err != nil {
		return nil, fmt.Errorf("intent file: %w", err)
	}
	if len(raw) > maxIntent {
		return nil, unusable(path, fmt.Sprintf("larger than %d bytes", maxIntent))
	}
	var in intent
	if err := json.Unmarshal(raw, &in); err != nil {
		return nil, unusable(path, err.Error())
	}
	if err := in.validate(t, path); err != nil {
		return nil, err
	}
	return &in, nil
}

// validate refuses what no swap of this target would have written.
func (in *intent) validate(t *Target, path string) error {
	switch {
	case in.Version != intentVersion:
		return unusable(path, fmt.Sprintf("version %d; this program knows %d", in.Version, intentVersion))
	case in.Target != filepath.Base(t.Database) || in.Staged != filepath.Base(in.Staged) || !durable.IsTempFor(in.Staged, in.Target):
		return unusable(path, "it names other files")
	case in.InPlace != nil && (in.Replaced == nil || !durable.IsTempFor(in.InPlace.Retired, in.Target) || in.InPlace.Retired != filepath.Base(in.InPlace.Retired)):
		return unusable(path, "it names other files")
	case in.Quarantine != "" && !quarantineForm.MatchString(filepath.Base(in.Quarantine)):
		return unusable(path, "it names another file than a quarantine")
	case in.Quarantine != "" && filepath.Dir(in.Quarantine) != t.Dir:
		return message.WithHint(fmt.Errorf("a restore was cut short that used the backup directory %s", filepath.Dir(in.Quarantine)),
			"use that directory (--dir) once, so that it can be finished")
	}
	for _, side := range in.Sidecars {
		if !slices.Contains(sidecarSuffixes, side.Suffix) {
			return unusable(path, "it names other files")
		}
	}
	return nil
}

func unusable(path, why string) error {
	return message.WithHint(fmt.Errorf("intent file %s is unusable: %s", path, why),
		"a restore was cut short; look at the files next to the database, then remove the intent file")
}
