package httpapi

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"path/filepath"
	"strings"
	"time"
	"unicode/utf8"

	"example.com/snapd/internal/durable"
	"example.com/snapd/internal/livedb"
)

// opstore keeps operations in one file, so that their outcome survives a restart. It is
// written when one begins and when one ends, never for progress.
type opstore struct {
	path string
	log  *slog.Logger
}

// Names in the backup directory, and limits of what is read from there.
const (
	opsName    = "operations.json"
	opsDamaged = "operations.damaged.json" // what could not be read; the latest only
	maxOpsFile = 8 << 20                   // bytes
	maxResult  = 64 << 10                  // bytes of one result on disk; a longer one is left out
	opsVersion = 1
)

type opsFile struct {
	Version    int         `json:"version"`
	Operations []operation `json:"operations"` // oldest first
}

func newOpstore(dir string, log *slog.Logger) *opstore {
	return &opstore{path: filepath.Join(dir, opsName), log: log}
}

// save replaces the file by all, which come newest first.
func (s *opstore) save(all []operation) error {
	f := opsFile{Version: opsVersion, Operations: make([]operation, 0, len(all))}
	for i := len(all) - 1; i >= 0; i-- {
		op := all[i]
		if len(op.Result) > maxResult {
			op.Result = nil
		}
		op.Rate, op.ETA = nil, nil
		f.Operations = append(f.Operations, op)
	}
	raw, err := json.Marshal(f)
	if err != nil {
		return fmt.Errorf("keep operations: %w", err)
	}
	if err := durable.MkdirAll(filepath.Dir(s.path), 0o700); err != nil {
		return fmt.Errorf("keep operations: %w", err)
	}
	if err := durable.WriteFile(s.path, append(raw, '\n'), 0o600); err != nil {
		return fmt.Errorf("keep operations: %w", err)
	}
	return nil
}

// load returns what is kept, oldest first. A file that makes no sense is set aside;
// it is never in the way of anything.
func (s *opstore) load() []operation {
	all, err := s.read()
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err == nil {
		return all
	}
	aside := filepath.Join(filepath.Dir(s.path), opsDamaged)
	s.log.Warn("what is known of past operations cannot be read and is set aside", "error", oneLine(err.Error()), "path", aside)
	if err := durable.Rename(s.path, aside); err != nil {
		s.log.Warn("set aside "+s.path, "error", oneLine(err.Error()))
	}
	return nil
}

func (s *opstore) read() ([]operation, error) {
	f, err := livedb.OpenSidecar(s.path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	raw, err := io.ReadAll(io.LimitReader(f, maxOpsFile+1))
	if err != nil {
		return nil, err
	}
	if len(raw) > maxOpsFile {
		return nil, fmt.Errorf("it has more than %d bytes", maxOpsFile)
	}
	var kept opsFile
	d := json.NewDecoder(bytes.NewReader(raw))
	if err := d.Decode(&kept); err != nil {
		return nil, err
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return nil, errors.New("it goes on after its end")
	}
	if kept.Version != opsVersion {
		return nil, fmt.Errorf("it has version %d, and %d is understood", kept.Version, opsVersion)
	}
	seen := make(map[string]bool)
	for i := range kept.Operations {
		op := &kept.Operations[i]
		if err := op.validate(); err != nil {
			return nil, fmt.Errorf("operation %d: %w", i, err)
		}
		if seen[op.ID] {
			return nil, fmt.Errorf("operation %d: its id stands twice", i)
		}
		seen[op.ID] = true
	}
	return kept.Operations[max(0, len(kept.Operations)-keepOperations):], nil
}

// validate refuses what this program would not have written.
func (op *operation) validate() error {
	if op.ID == "" || len(op.ID) > 64 || strings.Trim(op.ID, "abcdefghijklmnopqrstuvwxyz0123456789") != "" {
		return fmt.Errorf("id %.80q", op.ID)
	}
	if _, known := rightOf[op.Kind]; !known {
		return fmt.Errorf("kind %.80q", op.Kind)
	}
	switch op.State {
	case stateRunning:
	case stateDone, stateFailed, stateCancelled:
		if op.EndedAt == nil {
			return errors.New("it ended at no time")
		}
	default:
		return fmt.Errorf("state %.80q", op.State)
	}
	texts := []string{string(op.Phase), op.Who, op.Trigger, deref(op.Backup)}
	if op.Error != nil {
		texts = append(texts, op.Error.Code, op.Error.Message, op.Error.Hint)
	}
	for _, s := range texts {
		if len(s) > maxText || !utf8.ValidString(s) {
			return errors.New("a text that is too long, or none")
		}
	}
	if len(op.Result) > maxResult {
		return errors.New("a result that is too long")
	}
	if string(op.Result) == "null" {
		op.Result = nil
	}
	op.Rate, op.ETA, op.Cancellable = nil, nil, false
	op.StartedAt = op.StartedAt.In(time.UTC)
	if year := op.StartedAt.Year(); op.StartedAt.IsZero() || year < 0 || year > 9999 { // what RFC 3339 cannot write
		return errors.New("it began at no time")
	}
	return nil
}
