package snapshot_test

import "example.com/snapd/snapshot"

// An embedder can name every type that it meets, without another package of this module.
// If one of these does not compile, a type has no name in package snapshot.

func _(b snapshot.Backup) (snapshot.Kind, snapshot.Trigger, snapshot.Verification, snapshot.VerifyState) {
	return b.Kind, b.Trigger, b.Verification, b.Verification.State
}

func _(b snapshot.Backup) ([]snapshot.Copy, snapshot.CopyState) {
	return b.Copies, b.Copies[0].State
}

func _(m *snapshot.Manager, p *snapshot.Policy) ([]snapshot.Decision, error) {
	return m.PlanPrune(p)
}

func _(c snapshot.Changes) ([]snapshot.Backup, []snapshot.Foreign) {
	return c.Vanished, c.Foreign
}

func _(r snapshot.Report) (snapshot.Verdict, snapshot.Level, []snapshot.Finding) {
	return r.Verdict, r.Level, r.Findings
}

func _(f snapshot.Finding) (snapshot.FindingCode, snapshot.Severity) {
	return f.Code, f.Code.Severity()
}

func _(s snapshot.State) (map[snapshot.Trigger]snapshot.Outcome, *snapshot.CheckOutcome, *snapshot.DrillOutcome) {
	return s.LastSuccess, s.LastCheck, s.LastDrill
}

func _(s snapshot.State) (*snapshot.RestoreOutcome, *snapshot.Restoring, *snapshot.Schedule, *snapshot.Policy) {
	return s.LastRestore, s.Restoring, s.Schedule, s.Retention
}

func _(s snapshot.Status) (snapshot.Protection, snapshot.Why, snapshot.DatabaseStatus, *snapshot.LastRestore) {
	return s.State, s.Code, s.Database, s.LastRestore
}

func _(r snapshot.Recovery) (snapshot.Action, *snapshot.RepairResult) {
	return r.Action, r.Repair
}

func _(s snapshot.Status) (*snapshot.RecoveryPlan, []snapshot.RecoveryOption) {
	return s.Recovery, s.Recovery.Options
}

func _(r snapshot.RestoreResult) (snapshot.Method, snapshot.RestoreOptions) {
	return r.Method, snapshot.RestoreOptions{Plan: &snapshot.RestorePlan{}}
}

func _(ev snapshot.Event) (snapshot.EventType, snapshot.Operation, snapshot.Phase) {
	return ev.Type, ev.Operation, ev.Phase
}

func _(m *snapshot.Manager) ([]snapshot.Activity, string, error) { return m.Activity("", 1) }

func _(m *snapshot.Manager) (snapshot.OperationRecord, error) { return m.Operation("") }

func _(d snapshot.Day) snapshot.DayState { return d.State }

// Errors with fields.
var _, _ error = (*snapshot.CorruptError)(nil), (*snapshot.CheckError)(nil)
