package catalog

import (
	"maps"
	"slices"
	"time"

	"example.com/snapd/internal/schedule"
)

// State is what a backup directory remembers next to its entries. All of it is
// optional; the zero value says that nothing has happened yet.
type State struct {
	LastSuccess map[Trigger]Outcome `json:"last_success,omitempty"`
	LastFailure map[Trigger]Outcome `json:"last_failure,omitempty"`
	PruneFailed *Outcome            `json:"prune_failed,omitempty"` // the last pruning, where it failed
	LastCheck   *CheckOutcome       `json:"last_check,omitempty"`
	LastDrill   *DrillOutcome       `json:"last_drill,omitempty"`
	LastRestore *RestoreOutcome     `json:"last_restore,omitempty"`
	Restoring   *Restoring          `json:"restoring,omitempty"`
	LastRows    *RowsOutcome        `json:"last_rows,omitempty"`
	Recovered   []RecoveryOutcome   `json:"recovered,omitempty"` // the last recovery, and those before it that are not Seen
	NextRun     *time.Time          `json:"next_run,omitempty"`
	Schedule    *Schedule           `json:"schedule,omitempty"`  // of the serve that runs, or that died
	Retention   *Policy             `json:"retention,omitempty"` // of the last serve
	PageSeed    string              `json:"page_seed,omitempty"` // secret; 16 hex digits: the seed of the page digests of the directory's archives
	Timeline    *Present            `json:"timeline,omitempty"`  // nil: the one of the newest backup
	Began       []Timeline          `json:"began,omitempty"`     // the last maxBegan timelines, oldest first: of some there may be no backup
	Accepted    uint64              `json:"accepted,omitempty"`  // breaks up to this timeline are wanted
	Gone        *Gone               `json:"gone,omitempty"`      // there is no database to back up
	Placed      bool                `json:"placed,omitempty"`    // a recovery put the file there, and no backup was made since
	Replaced    int64               `json:"replaced,omitempty"`  // seconds that Plan keeps timelines apart, of the last serve; 0: DefaultReplaced
	Database    string              `json:"database,omitempty"`  // path, from the backup directory where that can be, of the database whose backups these are
	Anchors     []Anchor            `json:"anchors,omitempty"`   // of the change log, oldest first
	// SegmentProofs says how far the change log was read again; nil: not yet.
	SegmentProofs *SegmentProofs `json:"segment_proofs,omitempty"`
	// BackupsRead is when a share of the stored backups was read again last; nil: not yet.
	BackupsRead *time.Time `json:"backups_read,omitempty"`
	// PointsBase is the id of the backup that the newest recovery points of the change log build on, "" for none.
	PointsBase string `json:"points_base,omitempty"`
	// Continuous is how the service captures commits, of the last serve: "auto", "off" or a duration; "" where that is not known.
	Continuous string `json:"continuous,omitempty"`
	// CapturesStopped: a service is to capture every commit, and cannot; nil where it does, or none runs.
	CapturesStopped *CapturesStopped `json:"captures_stopped,omitempty"`
	NoLink          string           `json:"no_link,omitempty"` // why the link to the latest backup could not be made, "" where it could; it was reported
}

// Schedule says when automatic backups are made.
type Schedule = schedule.Schedule

// RestoreOutcome is the last restore over the live database.
type RestoreOutcome struct {
	ID     string    `json:"id"`             // the backup or recovery point that was restored
	Base   string    `json:"base,omitempty"` // of a recovery point: the backup that it is read from
	At     time.Time `json:"at"`
	Action string    `json:"action,omitempty"` // "restore" or "recover"
	Safety string    `json:"safety,omitempty"` // id of the backup of the replaced state, "" where there is none
	Kept   string    `json:"kept,omitempty"`   // file name of the quarantine of the replaced database, where that was damaged
	// DurationMS is how long it took, with its safety backup; 0 where that is not known.
	DurationMS int64 `json:"duration_ms,omitempty"`
}

// Present is the timeline that the database is on.
type Present struct {
	Timeline
	// From is the backup that was restored or whose database came back; of a break the newest
	// backup before it. "" where there is none.
	From string `json:"from,omitempty"`
	// Point is the recovery point that was restored; From is the backup that it is read from. "" for none.
	Point string `json:"point,omitempty"`
	What  string `json:"what,omitempty"` // of a break, for people
}

// Gone says since when there is no database to back up, and why.
type Gone struct {
	At    time.Time `json:"at"`
	Cause Cause     `json:"cause"`
	What  string    `json:"what"` // for people
}

// RecoveryOutcome is a recovery that changed the database.
type RecoveryOutcome struct {
	At     time.Time `json:"at"`
	Action string    `json:"action"`           // "restored" or "repaired"
	Backup string    `json:"backup,omitempty"` // id of the one that was restored
	Kept   string    `json:"kept,omitempty"`   // file name of the quarantine of what it replaced
	// What it lost: the changes since the restored backup was taken; of a repair, rows and transactions.
	LosesSince   *time.Time `json:"loses_since,omitempty"`
	Rows         int64      `json:"rows,omitempty"`
	Transactions int64      `json:"transactions,omitempty"`
	Unrestored   *int64     `json:"unrestored,omitempty"` // rows that can still be read in Kept and were not restored; nil: not known
	Detail       string     `json:"detail,omitempty"`     // what a repair did
	// Seen: it is proven that nothing was lost, or a person has acknowledged what was.
	Seen bool `json:"seen,omitempty"`
}

// maxRecovered bounds the recoveries that are remembered.
const maxRecovered = 10

// Recover records o as the last recovery. A second call for the same one replaces the first.
func (s *State) Recover(o RecoveryOutcome) {
	if last := s.LastRecovery(); last != nil && last.Backup == o.Backup && last.Kept == o.Kept {
		last.Seen = true
	}
	s.Recovered = append(slices.DeleteFunc(s.Recovered, func(r RecoveryOutcome) bool { return r.Seen }), o)
	s.Recovered = slices.Delete(s.Recovered, 0, max(0, len(s.Recovered)-maxRecovered))
}

// LastRecovery is the last recovery that changed the database, for changing it in place; nil for none.
func (s State) LastRecovery() *RecoveryOutcome {
	if len(s.Recovered) == 0 {
		return nil
	}
	return &s.Recovered[len(s.Recovered)-1]
}

// UndoRows is LastRows where an undo is of that: neither a restore of the whole database nor a recovery came after it. Else nil.
func (s State) UndoRows() *RowsOutcome {
	rows, recovered := s.LastRows, s.LastRecovery()
	if rows == nil || s.LastRestore != nil && !s.LastRestore.At.Before(rows.At) || recovered != nil && !recovered.At.Before(rows.At) {
		return nil
	}
	return rows
}

// Restoring is a restore that is about to be committed: what LastRestore will be if it
// is, and the schema cookie that shows it after a crash.
type Restoring struct {
	RestoreOutcome
	Cookie uint32 `json:"cookie"`
	// Rows: only rows are brought back, and this will be LastRows.
	Rows *RowsOutcome `json:"rows,omitempty"`
}

// RowsOutcome is the last time that rows were brought back into the live database.
type RowsOutcome struct {
	ID       string    `json:"id"` // the backup or recovery point that they are from
	At       time.Time `json:"at"`
	Safety   string    `json:"safety"` // id of the backup of the state before
	Table    string    `json:"table"`
	Inserted int64     `json:"inserted"`
	Replaced int64     `json:"replaced,omitempty"`
	Removed  int64     `json:"removed,omitempty"` // by an undo
	Skipped  int64     `json:"skipped,omitempty"`
}

// Outcome is how the last backup of one trigger went.
type Outcome struct {
	At      time.Time `json:"at"`
	Code    string    `json:"code,omitempty"`    // stable error code, "" for a success
	Message string    `json:"message,omitempty"` // the error, or the id of the backup that was made
}

// CheckOutcome is the last check of the live database.
type CheckOutcome struct {
	At      time.Time `json:"at"`
	Level   string    `json:"level"`
	Verdict string    `json:"verdict"`
	// FailedAt is the lowest level that proves the damage; "" without.
	FailedAt string `json:"failed_at,omitempty"`
}

// FullOnly reports whether the check found damage that only a full one sees.
func (c *CheckOutcome) FullOnly() bool { return c != nil && c.FailedAt == "full" }

// DrillOutcome is the last restore drill.
type DrillOutcome struct {
	ID         string    `json:"id"` // the backup that was restored
	At         time.Time `json:"at"`
	Verdict    string    `json:"verdict"`
	DurationMS int64     `json:"duration_ms"`
}

// Own records whose backups these are, together with the first backup and not before: a
// directory without one belongs to no database. What is remembered of earlier failures,
// and of a check that found damage, may be of any file that was tried, and a usable
// backup answers it.
func (s *State) Own(database string, usable bool) {
	if s.Database == "" && usable {
		s.LastFailure = nil
		if s.LastCheck != nil && s.LastCheck.Verdict != "healthy" {
			s.LastCheck = nil
		}
	}
	s.Database = database
}

// Succeeded records a success of trigger.
func (s *State) Succeeded(trigger Trigger, at time.Time) {
	if s.LastSuccess == nil {
		s.LastSuccess = make(map[Trigger]Outcome)
	}
	s.LastSuccess[trigger] = Outcome{At: at.UTC()}
}

// Failed records a failure of trigger: a stable code and a message.
func (s *State) Failed(trigger Trigger, at time.Time, code, message string) {
	if s.LastFailure == nil {
		s.LastFailure = make(map[Trigger]Outcome)
	}
	s.LastFailure[trigger] = Outcome{At: at.UTC(), Code: code, Message: message}
}

// LatestSuccess returns the last success of any trigger.
func (s State) LatestSuccess() (Outcome, bool) { return latest(s.LastSuccess) }

// LatestFailure returns the last failure of any trigger.
func (s State) LatestFailure() (Outcome, bool) { return latest(s.LastFailure) }

func latest(all map[Trigger]Outcome) (last Outcome, ok bool) {
	for _, o := range all {
		if o.At.After(last.At) {
			last = o
		}
	}
	return last, !last.At.IsZero()
}

// Failing returns the failure of the last backup, where no success came after it.
func (s State) Failing() (failure Outcome, ok bool) {
	failure, ok = s.LatestFailure()
	success, any := s.LatestSuccess()
	return failure, ok && (!any || failure.At.After(success.At))
}

// StandingFailure is Failing, unless a restore put right what was the database's own fault.
func (s State) StandingFailure() (failure Outcome, ok bool) {
	failure, ok = s.Failing()
	ofDatabase := failure.Code == "missing" || failure.Code == "corrupt"
	return failure, ok && (!ofDatabase || s.LastRestore == nil || !s.LastRestore.At.After(failure.At))
}

// Clone returns a copy of s whose maps and lists are its own.
func (s State) Clone() State {
	s.LastSuccess = maps.Clone(s.LastSuccess)
	s.LastFailure = maps.Clone(s.LastFailure)
	s.Recovered = slices.Clone(s.Recovered)
	s.Anchors = slices.Clone(s.Anchors)
	return s
}
