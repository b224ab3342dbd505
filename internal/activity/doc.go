// Package activity keeps the log of all actions in a backup directory, with their user,
// and how it ended: one JSON object per line in activity.jsonl, appended to by any
// number of processes at once. Beyond a size it becomes activity.1.jsonl, of which
// one is kept. Lines that are no entry are skipped: the log is for people, and
// nothing is decided by it.
package activity
