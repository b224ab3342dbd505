package catalog

import (
	"encoding/json"
	"time"

	"example.com/snapd/internal/lineage"
)

// Kind says who wanted a backup: the program by itself, or a person.
type Kind string

// The kinds of backup.
const (
	Auto   Kind = "auto"
	Manual Kind = "manual"
)

// Trigger says what caused a backup.
type Trigger string

// The triggers. TriggerPreRestore marks the safety backup that a restore makes of the state that it replaces.
const (
	TriggerStartup    Trigger = "startup"
	TriggerSchedule   Trigger = "schedule"
	TriggerChange     Trigger = "change"
	TriggerShutdown   Trigger = "shutdown"
	TriggerManual     Trigger = "manual"
	TriggerPreRestore Trigger = "pre-restore"
)

// VerifyState is the known soundness of a backup.
type VerifyState string

// The verification states. A backup counts only when it is Verified.
const (
	Unverified VerifyState = "unverified"
	Verified   VerifyState = "verified"
	Failed     VerifyState = "failed"
)

// Verification is the outcome of the last proof of a backup.
type Verification struct {
	State  VerifyState `json:"state"`
	Level  string      `json:"level"`  // check level of that proof, "" when there was none
	At     *time.Time  `json:"at"`     // when that proof was made, nil when there was none
	Detail string      `json:"detail"` // what failed, "" otherwise
}

// Copy is a copy of a backup's archive off this machine.
type Copy struct {
	Remote string    `json:"remote"` // name of the remote in the configuration
	State  CopyState `json:"state"`
	At     time.Time `json:"at"`    // when it was stored or, verified, read back last, UTC
	Proof  string    `json:"proof"` // digest of the stored bytes, "crc64nvme:" or "sha256:" and hexadecimal digits; "" where none is known
}

// CopyState is the known state of a copy.
type CopyState string

// The states of a copy.
const (
	CopyStored   CopyState = "stored"   // the store has proven it by its own checksum, or by its size where it has none
	CopyVerified CopyState = "verified" // its bytes were downloaded and compared
	CopyFailed   CopyState = "failed"   // it is not what was stored
)

// Timeline is one continuous history of a database.
type Timeline = lineage.Timeline

// Cause says what began a timeline, or why there is no database to back up.
type Cause = lineage.Cause

// The causes; see package lineage.
const (
	Emptied, Shrunk, OtherSchema, OtherApplication = lineage.Emptied, lineage.Shrunk, lineage.OtherSchema, lineage.OtherApplication

	Replaced, Restored, Returned = lineage.Replaced, lineage.Restored, lineage.Returned
	SetBack, NewLog              = lineage.SetBack, lineage.NewLog
	Missing, Blank, NoFile, Link = lineage.Missing, lineage.Blank, lineage.NoFile, lineage.Link
)

// Entry is one backup as the catalog knows it. Values handed out share memory
// with the catalog through At, Copies and Source: replace those, never write into them.
type Entry struct {
	ID            string       `json:"id"`   // File without archive.Ext
	File          string       `json:"file"` // plain name inside the backup directory
	Seq           uint64       `json:"seq"`  // order of the backups, from 1; never reused
	Kind          Kind         `json:"kind"`
	Trigger       Trigger      `json:"trigger"`
	CreatedAt     time.Time    `json:"created_at"`     // UTC
	DatabaseBytes int64        `json:"database_bytes"` // bytes of the image
	ArchiveBytes  int64        `json:"archive_bytes"`  // bytes of File
	PageSize      int          `json:"page_size"`      // bytes; 0 for an empty database
	PageCount     int64        `json:"page_count"`
	ImageBLAKE3   string       `json:"image_blake3"` // BLAKE3-256 of the image, hex
	Verification  Verification `json:"verification"`
	Pinned        bool         `json:"pinned"` // exempt from pruning until unpinned
	Note          string       `json:"note"`
	DurationMS    int64        `json:"duration_ms"` // milliseconds that taking it took
	Timeline      Timeline     `json:"timeline"`    // the history that it is of

	// Point is the backup's recovery point in the change log, "TIMELINE.SEQ" such as
	// "1.4711"; "" where no log was kept.
	Point string `json:"point,omitempty"`
	// Base is the id of the backup whose frames the archive was made from, "" for none.
	// The archive stands alone all the same.
	Base string `json:"base,omitempty"`
	// Adopted: another backup directory made the archive, and a person or a program put it here.
	// What it claims to be decides nothing: it is the oldest, manual, and counts once it is
	// verified and pinned.
	Adopted bool `json:"adopted,omitempty"`
	// Copies are the copies of the archive at remotes, at most one for each. They are no part of the catalog: who reads
	// it adds what is known of them.
	Copies []Copy `json:"copies,omitempty"`

	// Source is a fingerprint of the live database's files at the time of the
	// backup, opaque to the catalog. It is no part of the public form.
	Source json.RawMessage `json:"source,omitempty"`
}

// Public returns the entry in its public form: without Source.
func (e Entry) Public() Entry {
	e.Source = nil
	return e
}

// Accepted reports whether the backup is of this directory, or a person has pinned it.
func (e Entry) Accepted() bool { return !e.Adopted || e.Pinned }

// Usable reports whether the backup counts: accepted, proven, and not disproven since.
func (e Entry) Usable() bool { return e.Verification.State == Verified && e.Accepted() }

// Unfailed reports whether the backup is accepted and its proof did not fail: after a rebuild of the catalog none is known of.
func (e Entry) Unfailed() bool { return e.Verification.State != Failed && e.Accepted() }
