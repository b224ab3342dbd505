// Package sqlite is a single SQLite connection with the controls that
// database/sql does not give: true interruption of a running statement when its
// context ends, column blobs that are borrowed instead of copied, no checkpoint
// on close, defensive switches and budgets for untrusted files, and result codes on
// every error.
//
// It drives the same engine (modernc.org/sqlite/lib) that the registered
// "sqlite" driver uses, so both share one view of the process's file locks.
// Concurrency: a Conn and its statements belong to one goroutine at a time.
package sqlite
