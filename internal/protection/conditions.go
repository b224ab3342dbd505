package protection

import (
	"fmt"

	"example.com/snapd/catalog"
	"example.com/snapd/integrity"
	"example.com/snapd/internal/failure"
	"example.com/snapd/internal/notify"
)

// says is why, without a path, a name or a row: it may be sent to anybody.
var says = map[Why]string{
	WhyNoBackup:    "there is no verified backup",
	WhyUnverified:  "none of the stored backups is verified",
	WhyDirectory:   "the backup directory is gone, or another one is in its place",
	WhyArchiveGone: "the file of the newest verified backup is gone or cannot be read",
	WhyCheckFailed: "the database could not be checked",
	WhyDamaged:     "the database is damaged",
	WhyMissing:     "the database is missing or empty",
	WhyBreak:       "it is no longer the database that was backed up",
	WhyExposed:     "other users could replace or remove the backups",
	WhyFailed:      "the last backup failed",
	WhyClock:       "the newest verified backup is dated in the future",
	WhyRemote:      "a remote has not got what it should",
	WhyOverdue:     "a scheduled backup did not come",
}

// Space is low where the disk has less than lowSpace bytes, or no room for lowBackups more of the newest backup.
const (
	lowSpace   = 100 << 20
	lowBackups = 3
)

// Conditions are what stands, as receivers of notifications get it.
func (f *Facts) Conditions(s Status) (all []notify.Condition) {
	if s.State != Protected {
		all = append(all, notify.Condition{Kind: notify.Kind(s.State), Code: string(s.Code), Says: says[s.Code], Detail: s.Reason})
	}
	if last, ok := f.failure(); ok {
		all = append(all, notify.Condition{Kind: notify.BackupFailed, Code: last.Code, Says: "the last backup failed (" + last.Code + ")", Detail: last.Message, Since: last.At})
	}
	if v := s.Database.Verdict; v != nil && (*v == integrity.Corrupt || *v == integrity.NotADatabase) {
		all = append(all, notify.Condition{Kind: notify.Corruption, Code: string(*v), Says: "the database is damaged", Detail: s.Reason})
	}
	if b := s.Break; b != nil {
		all = append(all, notify.Condition{Kind: notify.Break, Code: string(b.Cause), Says: "it is no longer the database that was backed up (" + string(b.Cause) + ")",
			Detail: b.What, Since: b.At, Mild: b.Harmless()})
	}
	for _, r := range f.Remotes {
		if lacks := r.Lacking(f.ago); lacks != "" {
			all = append(all, notify.Condition{Kind: notify.RemoteBehind, Name: r.Name, Code: string(r.State), Says: says[WhyRemote] + " (" + string(r.State) + ")", Detail: lacks})
		}
	}
	if free := s.FreeBytes; free != nil && f.Place == nil && *free < f.spaceWanted() {
		all = append(all, notify.Condition{Kind: notify.LowSpace, Code: "low_space",
			Says: fmt.Sprintf("the disk of the backups has less than %d MiB", f.spaceWanted()>>20), Detail: fmt.Sprintf("%d bytes are free", *free)})
	}
	return all
}

func (f *Facts) spaceWanted() int64 {
	if f.Latest == nil {
		return lowSpace
	}
	return max(lowSpace, lowBackups*f.Latest.ArchiveBytes)
}

// failure is the present failure of the backups. That there was no database once is none where it is there.
func (f *Facts) failure() (catalog.Outcome, bool) {
	last, ok := f.State.StandingFailure()
	return last, ok && last.Code != failure.Code(failure.ErrMissing)
}
