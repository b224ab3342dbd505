package protection

import (
	"cmp"
	"fmt"
	"iter"
	"strings"
	"time"

	"github.com/dustin/go-humanize"

	"example.com/snapd/catalog"
	"example.com/snapd/integrity"
	"example.com/snapd/internal/breaks"
	"example.com/snapd/internal/recorder"
	"example.com/snapd/internal/remote"
	"example.com/snapd/internal/schedule"
)

// Grace is how long after its due time a backup counts as overdue.
const Grace = 10 * time.Minute

// Facts are what a status is judged by. Judging them is pure.
type Facts struct {
	Now   time.Time
	State catalog.State

	Place         error // the backup directory is gone, or another one is in its place
	Path          string
	DatabaseBytes int64 // of the main file; 0 without one
	Probe         integrity.Report
	ProbeErr      error  // the database could not be looked at
	Exposed       string // how others could meddle with the backups; "" where they could not
	Covered       bool   // it is provably unchanged since a verified backup
	Broken        *breaks.Break
	Unsaved       bool // of a database that lost something, and was accepted, there is no backup

	Remotes  []remote.Status
	Log      recorder.Status   // of the change log
	Capture  bool              // the Run that is at work, if any, is to capture
	Serving  bool              // a Run is at work
	Promised schedule.Schedule // of that Run, or of one that was killed, else the configured one
	Slack    time.Duration     // how late a backup may be

	Stored   int            // backups in all
	Failed   int            // of them, that failed their proof
	Latest   *catalog.Entry // the newest verified one; nil for none
	Archive  error          // why its archive cannot be used; nil where it is as it was stored
	Restored *catalog.Entry // the one that was restored last, where it is still there
	Drilled  *catalog.Entry // the one of the last drill, where it is still there
	Undo     *catalog.Entry // the verified one of what the last restore, also of rows, replaced
}

// Count takes the backups, newest first.
func (f *Facts) Count(all iter.Seq[catalog.Entry]) {
	last, drill, safety := f.State.LastRestore, f.State.LastDrill, ""
	if rows := f.State.UndoRows(); rows != nil {
		safety = rows.Safety
	} else if last != nil {
		safety = last.Safety
	}
	if b, ok := catalog.Latest(all, f.State); ok {
		f.Latest = &b
		p := catalog.PresentOf(all, f.State)
		f.Unsaved = p.Cause.Loss() && b.Timeline.Number != p.Number
	}
	for b := range all {
		f.Stored++
		if b.Verification.State == catalog.Failed {
			f.Failed++
		}
		if drill != nil && b.ID == drill.ID {
			f.Drilled = new(b)
		}
		if last != nil && b.ID == last.ID {
			f.Restored = new(b)
		}
		if b.ID == safety && b.Usable() {
			f.Undo = new(b)
		}
	}
}

// Status is everything that follows from the facts.
func (f *Facts) Status() Status {
	s := Status{
		Database:    DatabaseStatus{Path: f.Path, Bytes: f.DatabaseBytes, Verdict: f.verdict()},
		PruneFailed: f.State.PruneFailed, LastDrill: f.State.LastDrill, LastRestore: f.lastRestore(), EstimatedRestoreMS: f.restoreTime(),
		Stored: Stored{Backups: f.Stored, Failed: f.Failed, ReadAgain: f.State.BackupsRead},
	}
	if f.Serving {
		if promised := f.State.Schedule; promised != nil && *promised != (schedule.Schedule{}) {
			s.Schedule = promised
		}
		if f.State.NextRun != nil {
			next := f.Promised.Roll(*f.State.NextRun, f.Now)
			s.NextRun = &next
		}
	}
	if f.Latest != nil && f.Archive == nil {
		seconds := int64(f.window() / time.Second)
		s.NewestVerified, s.LossWindow, s.Covered = &f.Latest.ID, &seconds, f.Covered
	}
	s.Break, s.Continuous, s.Remotes = f.Broken, f.continuous(), append([]remote.Status{}, f.Remotes...)
	s.Code, s.Reason = f.why()
	s.State = protection(s.Code)
	if s.Code == WhyMissing || s.Code == WhyDamaged && !f.State.LastCheck.FullOnly() {
		s.NextRun = nil // none is made of that
	}
	return s
}

// protection is the one word that a reason comes to.
func protection(why Why) Protection {
	switch why {
	case WhyNoBackup, WhyUnverified, WhyDirectory:
		return Unprotected
	case WhyUnchanged, WhyRecent:
		return Protected
	}
	return AtRisk
}

// verdict is the probe's, or the worse one of the last check; nil where the database
// could not be looked at.
func (f *Facts) verdict() *integrity.Verdict {
	if f.ProbeErr != nil {
		return nil
	}
	return Worse(f.Probe.Verdict, f.State)
}

// why says why the database is protected, or not. The order is that of what to do first.
func (f *Facts) why() (code Why, reason string) {
	if f.Place != nil {
		return WhyDirectory, "nothing can be backed up: " + f.Place.Error()
	}
	if f.Latest == nil {
		if f.Stored > 0 {
			return WhyUnverified, fmt.Sprintf("there is no verified backup: of %d that are stored none is proven; verify --all does that", f.Stored)
		}
		return WhyNoBackup, "there is no verified backup"
	}
	if f.Archive != nil {
		return WhyArchiveGone, "the archive of the newest verified backup, " + f.Latest.File + ", " + f.Archive.Error()
	}
	if f.ProbeErr != nil {
		return WhyCheckFailed, "the database could not be checked: " + f.ProbeErr.Error()
	}
	taken, since := f.ago(f.Latest.CreatedAt), catalog.Since(*f.Latest, f.State)
	if since.After(f.Latest.CreatedAt) {
		taken += " and restored " + f.ago(since)
	}
	switch verdict := *f.verdict(); {
	case verdict == integrity.Corrupt && f.Probe.Verdict == integrity.Healthy && f.State.LastCheck.FullOnly():
		return WhyDamaged, fmt.Sprintf("a full check found damage in the database that backups do not look for; recover repairs it if that can be done. The newest backup was taken %s", taken)
	case verdict == integrity.Corrupt, verdict == integrity.NotADatabase:
		return WhyDamaged, fmt.Sprintf("the database is damaged and no longer backed up; the newest good backup was taken %s", taken)
	case (verdict == integrity.Missing || verdict == integrity.Empty) && f.Latest.DatabaseBytes > 0:
		return WhyMissing, fmt.Sprintf("the database is %s; the newest backup was taken %s", verdict, taken)
	}
	if b := f.Broken; b != nil && !b.Harmless() {
		return WhyBreak, f.brokenWords(*b)
	}
	if f.Unsaved {
		return WhyBreak, fmt.Sprintf("there is no verified backup of the database as it was accepted; the newest one, of the database before, was taken %s", taken)
	}
	if last, ok := f.failure(); ok {
		return WhyFailed, "the last backup failed: " + strings.TrimPrefix(last.Message, "backup: ")
	}
	if f.Exposed != "" {
		return WhyExposed, f.Exposed
	}
	for _, r := range f.Remotes {
		if lacks := r.Lacking(f.ago); lacks != "" {
			return WhyRemote, lacks
		}
	}
	if f.Covered {
		return WhyUnchanged, fmt.Sprintf("the database is unchanged since the verified backup taken %s", taken)
	}
	if f.Latest.CreatedAt.After(f.Now.Add(Grace)) {
		return WhyClock, fmt.Sprintf("the newest verified backup is dated %s: the clock was or is wrong, and its age is not known", f.Latest.CreatedAt.Format(time.RFC3339))
	}
	if due, late := f.Promised.Overdue(since, f.Now, f.Slack); late {
		return WhyOverdue, fmt.Sprintf("a backup was due %s; the newest verified one was taken %s", f.ago(due), taken)
	}
	return WhyRecent, f.captured() + fmt.Sprintf("the newest verified backup was taken %s", taken)
}

// window is the time before now whose commits would be lost with the database: since the newest verified backup was taken
// or, later, restored, or the last capture; 0 where nothing was committed since.
func (f *Facts) window() time.Duration {
	window := max(0, f.Now.Sub(catalog.Since(*f.Latest, f.State)))
	if since, known := f.Log.Window(f.Now); known {
		window = min(window, (since + time.Second - 1).Truncate(time.Second)) // some are outstanding: not 0
	}
	if f.Covered && f.Serving && f.Capture {
		return 0
	}
	return window
}

// lateAfter is how long ago the last capture may be while commits are outstanding.
const lateAfter = 10 * time.Second

// continuous says how commits are captured.
func (f *Facts) continuous() Continuous {
	c := Continuous{State: CapturesOn, Timeline: f.Log.Timeline, Points: f.Log.Points, Bytes: f.Log.Bytes}
	if f.Log.Seq > 0 {
		id, at := catalog.PointID(f.Log.Timeline, f.Log.Seq), f.Log.At.UTC()
		c.Point, c.At = &id, &at
	}
	c.Proven = f.proven()
	if p := f.State.SegmentProofs; p != nil {
		c.ReadAgain, c.Damaged = &p.At, len(p.Damaged)
	}
	late, known := f.Log.Window(f.Now)
	switch stopped := f.State.CapturesStopped; {
	case !f.Serving || !f.Capture:
		c.State = CapturesOff
	case stopped != nil:
		c.State, c.What = CapturesGap, stopped.What
	case known && late > lateAfter:
		c.State = CapturesBehind
	}
	return c
}

// proven is the newest verified point of the change log, where it is newer than the newest verified backup; nil for none.
func (f *Facts) proven() *string {
	a, ok := f.State.LastAnchor(f.Log.Timeline)
	if !ok || a.Seq > f.Log.Seq || f.Latest == nil {
		return nil
	}
	if timeline, seq, placed := catalog.ParsePoint(f.Latest.Point); placed && timeline == a.Timeline && seq >= a.Seq ||
		!(placed && timeline == a.Timeline) && !f.Latest.CreatedAt.Before(a.At) {
		return nil
	}
	id := catalog.PointID(a.Timeline, a.Seq)
	return &id
}

// captured says how far commits are captured.
func (f *Facts) captured() string {
	late, known := f.Log.Window(f.Now)
	switch c := f.continuous(); {
	case c.State == CapturesGap:
		return fmt.Sprintf("commits are not captured since %s: %s; ", f.ago(f.State.CapturesStopped.At), c.What)
	case c.State == CapturesOff || !known:
		return ""
	case late == 0:
		return "every commit is captured; "
	default:
		return fmt.Sprintf("every commit is captured until %s; ", f.ago(f.Now.Add(-late)))
	}
}

// brokenWords says what a break means, and what can be done.
func (f *Facts) brokenWords(b breaks.Break) string {
	if !b.Cause.Break() {
		return b.What
	}
	words := fmt.Sprintf("the database was %s %s: %s. The backups from before are kept", b.Cause.Verb(), f.ago(b.At), b.What)
	if b.Before == nil {
		return words + "; accept says that it is as it should be"
	}
	return words + fmt.Sprintf(": restore %s brings it back; accept says that it is as it should be", *b.Before)
}

// ago is a time as people say it, as of the facts.
func (f *Facts) ago(t time.Time) string {
	if s := humanize.RelTime(t, f.Now, "ago", "from now"); s != "now" {
		return s
	}
	return "just now"
}

// lastRestore is the last restore, of the database or of rows, and the backup that undoes it.
func (f *Facts) lastRestore() *LastRestore {
	last := &LastRestore{}
	if rows := f.State.UndoRows(); rows != nil {
		last.ID, last.At, last.Action = rows.ID, rows.At.UTC(), "restore-rows"
	} else if r := f.State.LastRestore; r != nil {
		last.ID, last.At, last.Action = r.ID, r.At.UTC(), cmp.Or(r.Action, "restore")
	} else {
		return nil
	}
	if f.Undo != nil {
		last.Undo = &f.Undo.ID
	}
	return last
}

// restoreTime is how many milliseconds putting the newest verified backup back takes: by
// the last restore where that is newer than the last drill, else by that; nil without either.
func (f *Facts) restoreTime() *int64 {
	drill, restore := f.State.LastDrill, f.State.LastRestore
	switch {
	case f.Latest == nil:
		return nil
	case f.Restored != nil && restore.DurationMS > 0 && (drill == nil || drill.At.Before(restore.At)):
		return new(max(1, catalog.Measured{Bytes: f.Restored.DatabaseBytes, MS: restore.DurationMS}.Scaled(f.Latest.DatabaseBytes)))
	case drill != nil:
		return new(catalog.RestoreTime(f.Latest.DatabaseBytes, f.DatabaseBytes, f.State, f.Drilled, f.Latest))
	}
	return nil
}

// Worse returns the probe's verdict, unless the last deeper look found damage
// and no backup has succeeded since: a probe does not see everything.
func Worse(probe integrity.Verdict, state catalog.State) *integrity.Verdict {
	last := integrity.Verdict("")
	at := time.Time{}
	if c := state.LastCheck; c != nil {
		last, at = integrity.Verdict(c.Verdict), c.At
	}
	if f, ok := state.LatestFailure(); ok && f.Code == "corrupt" && f.At.After(at) {
		last, at = integrity.Corrupt, f.At
	}
	// A backup's success speaks for the structure as quick_check sees it, not for the application's rules.
	if s, ok := state.LatestSuccess(); ok && s.At.After(at) && last != integrity.Violations && !state.LastCheck.FullOnly() {
		return &probe
	}
	if probe == integrity.Healthy && last != "" && last != integrity.Missing && last != integrity.Empty {
		return &last
	}
	return &probe
}
