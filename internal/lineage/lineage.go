// Package lineage judges whether a database is still the one that was backed up. It is pure: it is given
// the facts of then and of now, and imports no other package of this module.
package lineage

import (
	"fmt"
	"slices"
	"time"
)

// Facts are what a database is recognised by. What is not known is zero, and decides nothing.
type Facts struct {
	// File is the number of the main file in its file system.
	File uint64 `json:"-"`
	// Size is the main file's, in bytes.
	Size int64 `json:"-"`
	// Counter is SQLite's change counter: transactions count it up.
	Counter       uint32 `json:"counter,omitempty"`
	ApplicationID int64  `json:"application_id,omitempty"`
	UsedBytes     int64  `json:"used_bytes,omitempty"` // of the pages that are not free
	// Filled and Bare are the tables with and without rows: the oldest MaxTables of those with names
	// of at most MaxName bytes.
	Filled []string `json:"filled,omitempty"`
	Bare   []string `json:"bare,omitempty"`
}

// Bounds of the tables that are remembered.
const (
	MaxTables = 100
	MaxName   = 64 // bytes
)

// Cause says what began a timeline, or why there is no database to back up.
type Cause string

const (
	// The database that is there is not the one that was backed up: a break.
	Emptied          Cause = "emptied"           // its tables have no rows any more, or most of another file's have none
	Shrunk           Cause = "shrunk"            // fewer than half of the used pages
	OtherSchema      Cause = "other_schema"      // most of its tables are gone
	OtherApplication Cause = "other_application" // another application_id
	Replaced         Cause = "replaced"          // another file, of the same tables and like size

	// There is none: a break without a timeline, for nothing can be backed up.
	Missing Cause = "missing" // the file is gone
	Blank   Cause = "blank"   // it has zero bytes
	NoFile  Cause = "no_file" // a directory, or another thing, has its name
	Link    Cause = "link"    // the symbolic link leads to another file

	Restored Cause = "restored" // no break: a restore or a recovery put a backup there
	Returned Cause = "returned" // no break: the database of before a break is back

	// No breaks, of a change log: what is there is the database that was backed up.
	SetBack Cause = "set_back" // commits that were captured are gone, as after a power loss
	NewLog  Cause = "new_log"  // its captures cannot be continued: another page size, say
)

// Break reports whether c is one that gives a timeline of its own.
func (c Cause) Break() bool { return c == Replaced || c.Loss() }

// Loss reports whether the database of before is not safe in what is there now.
func (c Cause) Loss() bool {
	return c == Emptied || c == Shrunk || c == OtherSchema || c == OtherApplication
}

// Verb is c as in "the database was emptied".
func (c Cause) Verb() string {
	switch c {
	case OtherSchema, OtherApplication:
		return "exchanged for another one"
	case Returned:
		return "put back"
	case SetBack:
		return "set back to an older state"
	case NewLog:
		return "given a new change log"
	}
	return string(c)
}

// Judge compares a database with what it was at its newest backup. The cause is "" where it is the same
// one, as far as is known; what describes it for people.
//
// An ordinary migration is no break: tables that come, columns, new names for all tables, a minority of tables
// that goes, a first application_id. A file in which the same tables have rows is a replacement that lost nothing.
func Judge(then, now Facts) (c Cause, what string) {
	other := then.OtherFile(now)
	moved := then.File != 0 && now.File != 0 && then.File != now.File // what has the same counter and size may be another all the same: both stand still in WAL mode
	had, has := slices.Concat(then.Filled, then.Bare), slices.Concat(now.Filled, now.Bare)
	left, filled := common(had, has), common(then.Filled, now.Filled)
	fewer := other || len(has) < len(had) || len(now.Filled) < len(then.Filled)
	switch {
	case then.UsedBytes == 0 || now.UsedBytes == 0:
		return "", ""
	case then.ApplicationID != 0 && now.ApplicationID != then.ApplicationID:
		return OtherApplication, fmt.Sprintf("it has application_id %d, and %d was backed up", now.ApplicationID, then.ApplicationID)
	case 2*left < len(had) && fewer:
		return OtherSchema, fmt.Sprintf("it has %d of the %d tables that were backed up", left, len(had))
	case (other || moved) && 2*filled < len(then.Filled):
		return Emptied, fmt.Sprintf("another file is in its place, and of %d tables that had rows %d have any", len(then.Filled), filled)
	case len(then.Filled) > 0 && len(now.Filled) == 0:
		return Emptied, fmt.Sprintf("no table has a row any more, and %d had", len(then.Filled))
	case 2*now.UsedBytes < then.UsedBytes:
		return Shrunk, fmt.Sprintf("it uses %d bytes, and %d were backed up", now.UsedBytes, then.UsedBytes)
	case other:
		return Replaced, "another file is in its place, with the same tables and of like size"
	}
	return "", ""
}

// OtherFile reports whether now is another file than then, or that file written over with an older
// state: a copy of the file counts as the file while nothing was written to it.
func (then Facts) OtherFile(now Facts) bool {
	if then.File == 0 || now.File == 0 {
		return false
	}
	if int32(now.Counter-then.Counter) < 0 {
		return true
	}
	return then.File != now.File && (then.Counter != now.Counter || then.Size != now.Size)
}

// common is how many of these names are in those.
func common(these, those []string) (n int) {
	for _, name := range these {
		if slices.Contains(those, name) {
			n++
		}
	}
	return n
}

// Timeline is one continuous history of a database. A break begins a new one, and a restore does.
type Timeline struct {
	Number uint64     `json:"number"`          // from 1; 0 for a backup that another directory made
	Cause  Cause      `json:"cause,omitempty"` // what began it, "" for the first
	At     *time.Time `json:"at,omitempty"`    // when it began, UTC; nil for the first
	// Loss is the earlier timeline whose beginning lost the data that is not in this one either; 0 for none.
	Loss uint64 `json:"loss,omitempty"`
}

// Lost is the newest timeline whose beginning lost data that t is without: t itself, or Loss; 0 for none.
func (t Timeline) Lost() uint64 {
	if t.Cause.Loss() {
		return t.Number
	}
	return t.Loss
}

// Began is At, the zero time for the first one.
func (t Timeline) Began() time.Time {
	if t.At == nil {
		return time.Time{}
	}
	return *t.At
}
