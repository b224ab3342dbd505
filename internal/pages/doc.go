// Package pages reads a live database as a consistent stream of pages, and
// writes one back.
//
// Everything goes through SQLite's own pager (the sqlite_dbpage virtual table)
// inside one transaction, so the image is the state after some commit also
// where other processes write meanwhile: in WAL mode they are never held up, in the
// rollback-journal modes writers wait while a Snapshot is open. Package livedb opens
// the database and leaves no trace of it.
//
// Concurrency: a Snapshot or WriteTx belongs to one goroutine at a time.
package pages
