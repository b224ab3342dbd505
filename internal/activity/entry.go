// Package activity keeps the log of what was done in a backup directory, by whom,
// and how it ended.
package activity

import "time"

// Entry is one thing that was done, refused or that failed.
type Entry struct {
	At      time.Time `json:"at"`      // UTC
	Who     string    `json:"who"`     // a person or a program
	Action  string    `json:"action"`  // "backup", "restore", …
	Backup  string    `json:"backup"`  // id, "" where it is about none
	Outcome string    `json:"outcome"` // "done", "failed", …
	Detail  string    `json:"detail"`  // one sentence, or ""

	Operation     string `json:"operation,omitempty"` // the caller's id of it
	Trigger       string `json:"trigger,omitempty"`   // of a backup
	Code          string `json:"code,omitempty"`      // of the error
	DatabaseBytes int64  `json:"database_bytes,omitempty"`
	ArchiveBytes  int64  `json:"archive_bytes,omitempty"`
	DurationMS    int64  `json:"duration_ms,omitempty"`
}
