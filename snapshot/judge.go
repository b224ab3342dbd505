package snapshot

import (
	"cmp"
	"fmt"
	"iter"
	"strings"
	"time"

	"github.com/dustin/go-humanize"

	"example.com/snapd/catalog"
	"example.com/snapd/integrity"
)

// grace is how long after its due time a backup counts as overdue.
const grace = 10 * time.Minute

// facts are what a status is judged by. Judging them is pure.
type facts struct {
	now   time.Time
	state catalog.State

	place         error // the backup directory is gone, or another one is in its place
	path          string
	databaseBytes int64 // of the main file; 0 without one
	probe         Report
	probeErr      error  // the database could not be looked at
	exposed       string // how others could meddle with the backups; "" where they could not
	covered       bool   // it is provably unchanged since a verified backup
	broken        *Break
	unsaved       bool // of a database that lost something, and was accepted, there is no backup

	serving  bool          // a Run is at work
	promised Schedule      // of that Run, or of one that was killed, else the configured one
	slack    time.Duration // how late a backup may be

	stored   int     // backups in all
	latest   *Backup // the newest verified one; nil for none
	archive  error   // why its archive cannot be used; nil where it is as it was stored
	restored *Backup // the one that was restored last, where it is still there
	drilled  *Backup // the one of the last drill, where it is still there
	undo     *Backup // the verified one of what that replaced
}

// count takes the backups, newest first.
func (f *facts) count(all iter.Seq[Backup]) {
	last, drill := f.state.LastRestore, f.state.LastDrill
	if b, ok := catalog.Latest(all, f.state); ok {
		f.latest = &b
		p := catalog.PresentOf(all, f.state)
		f.unsaved = p.Cause.Loss() && b.Timeline.Number != p.Number
	}
	for b := range all {
		f.stored++
		if drill != nil && b.ID == drill.ID {
			f.drilled = new(b)
		}
		if last != nil && b.ID == last.ID {
			f.restored = new(b)
		}
		if last != nil && b.ID == last.Safety && b.Usable() {
			f.undo = new(b)
		}
	}
}

// status is everything that follows from the facts.
func (f *facts) status() Status {
	s := Status{
		Database:    DatabaseStatus{Path: f.path, Bytes: f.databaseBytes, Verdict: f.verdict()},
		PruneFailed: f.state.PruneFailed, LastDrill: f.state.LastDrill, LastRestore: f.lastRestore(), EstimatedRestoreMS: f.restoreTime(),
	}
	if f.serving {
		if promised := f.state.Schedule; promised != nil && *promised != (Schedule{}) {
			s.Schedule = promised
		}
		if f.state.NextRun != nil {
			next := f.promised.Roll(*f.state.NextRun, f.now)
			s.NextRun = &next
		}
	}
	if f.latest != nil && f.archive == nil {
		seconds := int64(max(0, f.now.Sub(catalog.Since(*f.latest, f.state))) / time.Second)
		s.NewestVerified, s.LossWindow, s.Covered = &f.latest.ID, &seconds, f.covered
	}
	s.Break = f.broken
	s.Code, s.Reason = f.why()
	s.State = protection(s.Code)
	if s.Code == WhyMissing || s.Code == WhyDamaged && !f.state.LastCheck.FullOnly() {
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
func (f *facts) verdict() *integrity.Verdict {
	if f.probeErr != nil {
		return nil
	}
	return worse(f.probe.Verdict, f.state)
}

// why says why the database is protected, or not. The order is that of what to do first.
func (f *facts) why() (code Why, reason string) {
	if f.place != nil {
		return WhyDirectory, "nothing can be backed up: " + f.place.Error()
	}
	if f.latest == nil {
		if f.stored > 0 {
			return WhyUnverified, fmt.Sprintf("there is no verified backup: of %d that are stored none is proven; verify --all does that", f.stored)
		}
		return WhyNoBackup, "there is no verified backup"
	}
	if f.archive != nil {
		return WhyArchiveGone, "the archive of the newest verified backup, " + f.latest.File + ", " + f.archive.Error()
	}
	if f.probeErr != nil {
		return WhyCheckFailed, "the database could not be checked: " + f.probeErr.Error()
	}
	taken, since := f.ago(f.latest.CreatedAt), catalog.Since(*f.latest, f.state)
	if since.After(f.latest.CreatedAt) {
		taken += " and restored " + f.ago(since)
	}
	switch verdict := *f.verdict(); {
	case verdict == integrity.Corrupt && f.probe.Verdict == integrity.Healthy && f.state.LastCheck.FullOnly():
		return WhyDamaged, fmt.Sprintf("a full check found damage in the database that backups do not look for; recover repairs it if that can be done. The newest backup was taken %s", taken)
	case verdict == integrity.Corrupt, verdict == integrity.NotADatabase:
		return WhyDamaged, fmt.Sprintf("the database is damaged and no longer backed up; the newest good backup was taken %s", taken)
	case (verdict == integrity.Missing || verdict == integrity.Empty) && f.latest.DatabaseBytes > 0:
		return WhyMissing, fmt.Sprintf("the database is %s; the newest backup was taken %s", verdict, taken)
	}
	if b := f.broken; b != nil && !b.harmless() {
		return WhyBreak, f.brokenWords(*b)
	}
	if f.unsaved {
		return WhyBreak, fmt.Sprintf("there is no verified backup of the database as it was accepted; the newest one, of the database before, was taken %s", taken)
	}
	if failure, ok := f.state.StandingFailure(); ok && failure.Code != Code(ErrMissing) { // it is there
		return WhyFailed, "the last backup failed: " + strings.TrimPrefix(failure.Message, "backup: ")
	}
	if f.exposed != "" {
		return WhyExposed, f.exposed
	}
	if f.covered {
		return WhyUnchanged, fmt.Sprintf("the database is unchanged since the verified backup taken %s", taken)
	}
	if f.latest.CreatedAt.After(f.now.Add(grace)) {
		return WhyClock, fmt.Sprintf("the newest verified backup is dated %s: the clock was or is wrong, and its age is not known", f.latest.CreatedAt.Format(time.RFC3339))
	}
	if due, late := f.promised.Overdue(since, f.now, f.slack); late {
		return WhyOverdue, fmt.Sprintf("a backup was due %s; the newest verified one was taken %s", f.ago(due), taken)
	}
	return WhyRecent, fmt.Sprintf("the newest verified backup was taken %s", taken)
}

// brokenWords says what a break means, and what can be done.
func (f *facts) brokenWords(b Break) string {
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
func (f *facts) ago(t time.Time) string {
	if s := humanize.RelTime(t, f.now, "ago", "from now"); s != "now" {
		return s
	}
	return "just now"
}

// lastRestore is the last restore, and the backup that undoes it.
func (f *facts) lastRestore() *LastRestore {
	r := f.state.LastRestore
	if r == nil {
		return nil
	}
	last := &LastRestore{ID: r.ID, At: r.At.UTC(), Action: cmp.Or(r.Action, "restore")}
	if f.undo != nil {
		last.Undo = &f.undo.ID
	}
	return last
}

// restoreTime is how many milliseconds putting the newest verified backup back takes: by
// the last restore where that is newer than the last drill, else by that; nil without either.
func (f *facts) restoreTime() *int64 {
	drill, restore := f.state.LastDrill, f.state.LastRestore
	switch {
	case f.latest == nil:
		return nil
	case f.restored != nil && restore.DurationMS > 0 && (drill == nil || drill.At.Before(restore.At)):
		return new(max(1, catalog.Measured{Bytes: f.restored.DatabaseBytes, MS: restore.DurationMS}.Scaled(f.latest.DatabaseBytes)))
	case drill != nil:
		return new(catalog.RestoreTime(f.latest.DatabaseBytes, f.databaseBytes, f.state, f.drilled, f.latest))
	}
	return nil
}

// worse returns the probe's verdict, unless the last deeper look found damage
// and no backup has succeeded since: a probe does not see everything.
func worse(probe integrity.Verdict, state catalog.State) *integrity.Verdict {
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
