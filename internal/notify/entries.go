package notify

import "example.com/snapd/internal/activity"

// relevant reports whether a rule is about the entry.
func relevant(r activity.Record) bool {
	began, ended := condition(r)
	_, happened := occurrence(r)
	return happened || began.Kind != "" || ended != "" || startOfBackup(r) || endOfBackup(r)
}

// condition is what an entry of the log begins or ends.
func condition(r activity.Record) (began Condition, ended Kind) {
	if r.Action != "drill" {
		return began, ""
	}
	switch {
	case r.Outcome == "done":
		return began, DrillFailed
	case failed(r):
		return Condition{Kind: DrillFailed, Code: r.Code, Says: "a backup could not be restored on trial (" + r.Code + ")", Detail: r.Detail, Since: r.At}, ""
	}
	return began, ""
}

// failed reports whether the entry says that something went wrong. What was busy is tried again, and a name that there
// is not was mistyped.
func failed(r activity.Record) bool {
	return r.Outcome == "failed" && r.Code != "busy" && r.Code != "not_found"
}

// occurrence is what an entry of the log reports that has no duration.
func occurrence(r activity.Record) (c Condition, ok bool) {
	switch r.Action {
	case "recover", "repair":
		if r.Line != activity.Ended || r.Outcome != "done" || r.Quiet {
			return c, false
		}
		how := "the database was damaged or missing, and was restored from a backup"
		if r.Action == "repair" {
			how = "the database was damaged, and was repaired"
		}
		return Condition{Kind: Recovered, Says: how, Detail: r.Detail}, true
	case "verify", "drill":
		if !failed(r) || r.Code != "corrupt" {
			return c, false
		}
		return Condition{Kind: Corruption, Name: "backup", Code: r.Code, Says: "a stored backup is damaged", Detail: r.Detail}, true
	}
	return c, false
}

// startOfBackup and endOfBackup are what a ping reports of one.
func startOfBackup(r activity.Record) bool { return r.Action == "backup" && r.Line == activity.Started }
func endOfBackup(r activity.Record) bool   { return r.Action == "backup" && r.Line == activity.Ended }
