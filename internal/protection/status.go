// Package protection judges from facts whether the data is safe, and why. Gathering the facts is the subject of package snapshot.
package protection

import (
	"time"

	"example.com/snapd/catalog"
	"example.com/snapd/integrity"
	"example.com/snapd/internal/breaks"
	"example.com/snapd/internal/catalogfile"
	"example.com/snapd/internal/notify"
	"example.com/snapd/internal/recovery"
	"example.com/snapd/internal/remote"
	"example.com/snapd/internal/schedule"
)

// Protection is the one-word answer to "is the data safe?".
type Protection string

const (
	Protected   Protection = "protected"   // a verified backup covers the database as the schedule promises
	AtRisk      Protection = "at_risk"     // there is a verified backup, but something is wrong: see the reason
	Unprotected Protection = "unprotected" // there is no verified backup
)

// Status is the state of the protection.
type Status struct {
	State          Protection            `json:"state"`
	Code           Why                   `json:"code"`   // why, in a word
	Reason         string                `json:"reason"` // why, in one sentence
	Database       DatabaseStatus        `json:"database"`
	NewestVerified *string               `json:"newest_verified"`     // backup id: what "latest" means
	LossWindow     *int64                `json:"loss_window_seconds"` // what was committed in it has no recovery point: see Facts.window
	Covered        bool                  `json:"covered"`             // the database is provably unchanged since then
	Stored         Stored                `json:"stored"`
	NextRun        *time.Time            `json:"next_run"`     // null while no serve runs, and while the database is damaged or missing
	Schedule       *schedule.Schedule    `json:"schedule"`     // null while no serve runs, or without one
	PruneFailed    *catalog.Outcome      `json:"prune_failed"` // the last removal of old backups, where it failed; tried again by itself
	LastDrill      *catalog.DrillOutcome `json:"last_drill"`
	LastRestore    *LastRestore          `json:"last_restore"`
	Recovered      []recovery.Recovered  `json:"recovered"` // recoveries that lost something and are not acknowledged, the newest first; never nil
	// EstimatedRestoreMS is how long it will take to put the newest verified backup
	// back, by the last restore or drill; null before the first.
	EstimatedRestoreMS *int64        `json:"estimated_restore_ms"`
	FreeBytes          *int64        `json:"free_bytes"` // in the backup directory; null where the system does not report it
	Break              *breaks.Break `json:"break"`      // that was not accepted; null where there is none
	Continuous         Continuous    `json:"continuous"`
	// Remotes are the places off this machine; never nil.
	Remotes []remote.Status `json:"remotes"`
	// Quarantined are the damaged databases that were kept, the oldest first.
	Quarantined []catalogfile.Quarantine `json:"quarantined"`
	// Receivers are those of notifications, by name, as the service that is at work, or was last, has them; never nil.
	Receivers []notify.Status `json:"receivers"`
	// Recovery is what Recover would do; null where nothing is wrong with the database.
	Recovery *recovery.Plan `json:"recovery"`
}

// Stored are the backups that there are. A service reads a share of them again each day, and all of them within 30 days.
type Stored struct {
	Backups   int        `json:"backups"`
	Failed    int        `json:"failed"`     // that failed their proof
	ReadAgain *time.Time `json:"read_again"` // when a share was read; null: not yet
}

// Continuous is how the commits between backups are captured, in the change log.
type Continuous struct {
	State CaptureState `json:"state"`
	Point *string      `json:"point"` // the newest one of the change log; null for none
	At    *time.Time   `json:"at"`    // of it
	// Proven is the newest verified point of the change log, where it is newer than the newest verified backup; null for none.
	Proven   *string `json:"proven"`
	Timeline uint64  `json:"timeline"`
	Points   int     `json:"points"` // of the present timeline
	Bytes    int64   `json:"bytes"`  // of the whole change log
	What     string  `json:"what"`   // of a gap: why
	// ReadAgain is when a share of the change log's segments was proven again last; null: not yet. Damaged counts those that
	// failed, and are still there.
	ReadAgain *time.Time `json:"read_again"`
	Damaged   int        `json:"damaged"`
}

// CaptureState says in a word whether commits are captured.
type CaptureState string

const (
	CapturesOn     CaptureState = "on"
	CapturesOff    CaptureState = "off"    // no service captures
	CapturesGap    CaptureState = "gap"    // it cannot
	CapturesBehind CaptureState = "behind" // it has not for a while
)

// DatabaseStatus is what Status says of the live file. Verdict is of a probe,
// or the worse one of the last check; null when it could not be looked at.
type DatabaseStatus struct {
	Path    string             `json:"path"`
	Bytes   int64              `json:"bytes"` // of the main file
	Verdict *integrity.Verdict `json:"verdict"`
}

// Why says in a word why a [Status] is what it is.
type Why string

const (
	WhyNoBackup    Why = "no_backup"    // unprotected: there is none
	WhyUnverified  Why = "unverified"   // unprotected: there are some, none of them verified
	WhyDirectory   Why = "directory"    // unprotected: the backup directory is gone, or another one is in its place
	WhyArchiveGone Why = "archive_gone" // at risk: the newest verified backup's file is gone, has another size, or cannot be looked at
	WhyCheckFailed Why = "check_failed" // at risk: the database could not be looked at
	WhyDamaged     Why = "damaged"      // at risk: the database is damaged
	WhyMissing     Why = "missing"      // at risk: the database is missing or empty
	WhyBreak       Why = "break"        // at risk: another database is in its place, or less than half of it, see Break
	WhyExposed     Why = "exposed"      // at risk: other users could replace or remove the backups
	WhyFailed      Why = "failed"       // at risk: the last backup failed
	WhyClock       Why = "clock"        // at risk: the newest verified backup is from the future
	WhyRemote      Why = "remote"       // at risk: a remote has not got what it should
	WhyOverdue     Why = "overdue"      // at risk: the schedule promised a backup that did not come
	WhyUnchanged   Why = "unchanged"    // protected: the database is provably as the newest verified backup has it
	WhyRecent      Why = "recent"       // protected: the newest verified backup is as recent as promised
)

// LastRestore is the last restore over the database, of all of it or of rows.
type LastRestore struct {
	ID     string    `json:"id"` // the backup that was restored, or whose rows were
	At     time.Time `json:"at"`
	Undo   *string   `json:"undo"`   // the backup of what it replaced; null where there is none, or none any more
	Action string    `json:"action"` // "restore", "restore-rows" or "recover"
}
