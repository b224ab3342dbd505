package livedb

import (
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"time"

	"example.com/snapd/internal/sqlitefile"
)

// racyWindow is how much older than the look a time stamp must be before the
// same stamp proves that nothing was written since. A write after the look can
// carry the stamp of a write before it when both fall into one tick of the file
// system's clock: 4 ms on ext4, 1 s on HFS+, 2 s on FAT.
const racyWindow = 3 * time.Second

// Fingerprint is cheap evidence of a database's state: sizes, times and headers
// of its files. It is comparable only with a fingerprint of the same path taken
// on the same machine. Its JSON form is stable.
type Fingerprint struct {
	TakenAt time.Time `json:"taken_at"`
	Main    FileState `json:"main"`
	WAL     FileState `json:"wal"`
	Journal FileState `json:"journal"`
}

// FileState is the evidence of one file; the zero value is a missing file.
type FileState struct {
	Present bool  `json:"present"`
	Size    int64 `json:"size,omitempty"`  // bytes
	MTime   int64 `json:"mtime,omitempty"` // Unix nanoseconds
	// CTime is the main file's change time, as MTime; 0 where there is none. Not of
	// the others: SQLite running as root renews their owner at every opening.
	CTime int64 `json:"ctime,omitempty"`
	ID    ID    `json:"id,omitzero"`
	// Head holds, in hex, the bytes that change with the content: of the main
	// file change counter and version-valid-for (bytes 24–27, 92–95), of the WAL
	// its header with the salts (0–31), of a journal its header (0–27).
	Head string `json:"head,omitempty"`
	// End is, of the WAL, where its index says that it ends: salts, last frame and that frame's checksum, in hex.
	// A commit moves it, also where the file's times do not; a checkpoint does not, and neither does an index that is
	// made again. "" where there is no index, or none that can be read.
	End string `json:"end,omitempty"`
}

// logEnd is End of the log of the database at the resolved path real.
func logEnd(real string) string {
	f, err := openIndex(real)
	if err != nil {
		return ""
	}
	defer f.Close()
	x, ok := f.LogIndex()
	if !ok {
		return ""
	}
	b := binary.BigEndian.AppendUint32(x.Salts[:], uint32(x.LastFrame))
	return hex.EncodeToString(append(b, x.Sum[:]...))
}

// TakeFingerprint looks at the files of the database at path. What is to be
// proven unchanged later must be read after this look. A missing database is
// ErrMissing.
func TakeFingerprint(path string) (Fingerprint, error) {
	f, err := Look(path)
	return f.Fingerprint, err
}

// sidecarState opens a -wal or -journal, on which no process holds locks.
func sidecarState(path string, head int64) (FileState, error) {
	f, err := OpenSidecar(path)
	if errors.Is(err, fs.ErrNotExist) {
		return FileState{}, nil
	}
	if err != nil {
		return FileState{}, fmt.Errorf("fingerprint: %w", err)
	}
	defer f.Close()
	return fileState(path, f, head)
}

func fileState(path string, f *os.File, headLen int64) (FileState, error) {
	fi, err := f.Stat()
	if err != nil {
		return FileState{}, fmt.Errorf("fingerprint: %w", err)
	}
	id, err := idOf(path, fi)
	if err != nil {
		return FileState{}, fmt.Errorf("fingerprint: %w", err)
	}
	head, err := start(path, f, headLen)
	if err != nil {
		return FileState{}, err
	}
	return FileState{
		Present: true, Size: fi.Size(), MTime: fi.ModTime().UnixNano(), ID: id, Head: hex.EncodeToString(head),
	}, nil
}

// Unchanged reports whether nothing was committed between f and now, the later
// of the two. It is true only on proof: a checkpoint, which changes files
// but no content, gives false, and so does a file that was written so shortly
// before f that a further write could bear the same time.
func (f Fingerprint) Unchanged(now Fingerprint) bool {
	f.WAL, now.WAL = f.WAL.orNone(), now.WAL.orNone()
	if !f.Main.Present || f.Main != now.Main || f.WAL != now.WAL || f.Journal != now.Journal {
		return false
	}
	limit := f.TakenAt.Add(-racyWindow).UnixNano()
	for _, m := range []FileState{f.Main, f.WAL, f.Journal} {
		if m.Present && (m.MTime > limit || m.CTime > limit) {
			return false
		}
	}
	return true
}

// FileUntouched reports whether nothing was written into the database file itself between f and
// now: no commit without a log, and no checkpoint. True only on proof, as Unchanged.
func (f Fingerprint) FileUntouched(now Fingerprint) bool {
	limit := f.TakenAt.Add(-racyWindow).UnixNano()
	return f.Main.Present && f.Main == now.Main && f.Main.MTime <= limit && f.Main.CTime <= limit
}

// LogSalts are those of the log's header; ok is false where there is none.
func (f Fingerprint) LogSalts() (salts [8]byte, ok bool) {
	head, err := hex.DecodeString(f.WAL.Head)
	if err != nil || len(head) < sqlitefile.WALHeaderSize {
		return salts, false
	}
	h := sqlitefile.WALHeader(head)
	return h.Salts(), true
}

// orNone is none for an empty log, which any program that opens the database makes, and which has no commit.
func (s FileState) orNone() FileState {
	if s.Size == 0 {
		return FileState{}
	}
	return s
}

// FingerprintIfAny is TakeFingerprint, and zero where there is no database.
func FingerprintIfAny(path string) (Fingerprint, error) {
	f, err := TakeFingerprint(path)
	if errors.Is(err, fs.ErrNotExist) {
		return Fingerprint{}, nil
	}
	return f, err
}

// SameState returns a function that reports whether the database's files still have the
// state that they have now.
func SameState(path string) (func() (bool, error), error) {
	then, err := FingerprintIfAny(path)
	return func() (bool, error) {
		now, err := FingerprintIfAny(path)
		return err == nil && then.Same(now), err
	}, err
}
