package snapshot

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"

	"example.com/snapd/integrity"
	"example.com/snapd/internal/durable"
	"example.com/snapd/internal/livedb"
)

// intent is the small file beside the database that makes a swap end old or
// new: written before the first irreversible step, removed after the last.
// Every step it names can be done again.
type intent struct {
	Version int    `json:"version"`
	Backup  string `json:"backup"`
	Target  string `json:"target"` // base names, all in the database's directory
	Staged  string `json:"staged"`
	Bytes   int64  `json:"bytes"` // of the staged image
	BLAKE3  string `json:"blake3"`
	// Replaced is the file that the image takes the place of; nil where none was.
	Replaced *fileID `json:"replaced"`
	// Sidecars are those of the replaced file; no other ones may be removed.
	Sidecars []fileID `json:"sidecars"`
	// Quarantine is the absolute path that preserves Replaced; "" when a safety
	// backup does. Sidecars are preserved as Quarantine plus their suffix.
	Quarantine string `json:"quarantine,omitempty"`
	// Report is the quarantine's: here, so that a swap that is finished after a
	// crash leaves the quarantine whole.
	Report *integrity.Report `json:"report,omitempty"`
	// Operation and Safety are for what is remembered of the restore.
	Operation string `json:"operation,omitempty"`
	Safety    string `json:"safety,omitempty"`
	// StagedID is the staged file's, and so the database's once it was renamed.
	StagedID livedb.ID `json:"staged_id"`
}

// fileID recognises a file that was not written to since.
type fileID struct {
	Suffix string    `json:"suffix"` // "" or "-wal", "-shm", "-journal"
	ID     livedb.ID `json:"id"`
	Bytes  int64     `json:"bytes"`
	MTime  int64     `json:"mtime_ns"`
}

const intentVersion = 1

// maxIntent bounds an intent file; a report in it has up to a hundred findings
// of 500 bytes, which JSON may have to escape.
const maxIntent = 1 << 20

// intentPath is where the intent of a database's swap lies.
func intentPath(database string) string {
	return filepath.Join(filepath.Dir(database), "."+filepath.Base(database)+".snapd-restore")
}

// identify returns the fileID of database+suffix, nil when there is none.
func identify(database, suffix string) (*fileID, error) {
	st, err := os.Lstat(database + suffix)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("look at %s: %w", database+suffix, err)
	}
	if !st.Mode().IsRegular() {
		return nil, hint(fmt.Errorf("%w: %s is no regular file", ErrRefused, database+suffix), "SQLite would not use it either: move it away")
	}
	id, err := livedb.Identify(database + suffix)
	if err != nil {
		return nil, err
	}
	return &fileID{Suffix: suffix, ID: id, Bytes: st.Size(), MTime: st.ModTime().UnixNano()}, nil
}

// is reports whether a and b name the same untouched file, or both none.
func (a *fileID) is(b *fileID) bool {
	if a == nil || b == nil {
		return a == b
	}
	return *a == *b
}

// write makes the intent durable.
func (in *intent) write(database string) error {
	raw, err := json.Marshal(in)
	if err != nil {
		return fmt.Errorf("restore intent: %w", err)
	}
	if err := durable.WriteFile(intentPath(database), raw, 0o600); err != nil {
		return fmt.Errorf("restore intent: %w", err)
	}
	return nil
}

// quarantineForm is what quarantineName makes.
var quarantineForm = regexp.MustCompile(`^corrupted_[0-9]{8}_[0-9]{6}(_[0-9]{1,3})?\.db$`)

// readIntent returns the intent beside the database, nil when there is none. The
// directory may belong to somebody with fewer rights: an intent of another
// owner's, or one that names files that no swap of ours would, is not followed.
func (m *Manager) readIntent() (*intent, error) {
	database := m.cfg.Database
	path := intentPath(database)
	st, err := os.Lstat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("restore intent: %w", err)
	}
	bad := func(why string) error {
		return hint(fmt.Errorf("restore intent %s is unusable: %s", path, why),
			"a restore was cut short; look at the files beside the database, then remove the intent file")
	}
	if !st.Mode().IsRegular() || st.Size() > maxIntent {
		return nil, bad("not a small regular file")
	}
	if !ownedByUs(st) {
		return nil, bad("it belongs to another user")
	}
	raw, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("restore intent: %w", err)
	}
	var in intent
	if err := json.Unmarshal(raw, &in); err != nil {
		return nil, bad(err.Error())
	}
	switch {
	case in.Version != intentVersion:
		return nil, bad(fmt.Sprintf("version %d; this program knows %d", in.Version, intentVersion))
	case in.Target != filepath.Base(database) || in.Staged != filepath.Base(in.Staged) || !durable.IsTempFor(in.Staged, in.Target):
		return nil, bad("it names other files")
	case in.Quarantine != "" && !quarantineForm.MatchString(filepath.Base(in.Quarantine)):
		return nil, bad("its quarantine is none of ours")
	case in.Quarantine != "" && filepath.Dir(in.Quarantine) != m.cfg.Dir:
		return nil, hint(fmt.Errorf("a restore was cut short that used the backup directory %s", filepath.Dir(in.Quarantine)),
			"use that directory (--dir) once, so that it can be finished")
	}
	for _, side := range in.Sidecars {
		if !slices.Contains(sidecarSuffixes, side.Suffix) {
			return nil, bad("it names other files")
		}
	}
	return &in, nil
}
