// Package activity keeps the log of all actions in a backup directory, with their user
// and outcome: one JSON object per line in activity.jsonl, appended to by any number of
// processes at once. Beyond a size it becomes activity.1.jsonl; one such file is kept.
// Lines that are no entry are skipped.
//
// An operation is a started line and an ended line with its id. One without an end was
// interrupted, once its process is gone. Nothing is decided about data by the log.
package activity
