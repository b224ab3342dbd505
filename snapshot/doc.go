// Package snapshot protects one SQLite database: consistent backups of a live
// file that count only once proven, recovery from proven corruption, restores
// that can be undone, and looking into a backup without restoring it.
//
// A [Manager] is the door. It works on the database file through SQLite's own
// locks, next to any number of connections of this and of other processes, and
// keeps its archives and their catalog in one backup directory that several
// processes may share: an operation that changes something holds the directory's
// operation lock, and every other one gets [ErrBusy] after the configured wait.
//
// # What a host process should know
//
// SQLite's file locks are POSIX record locks, which belong to the process and
// not to a connection: closing any descriptor of the database file anywhere in
// the process drops them all. This package therefore keeps one descriptor per
// database file open for the life of the process (its only global state) where
// it has to look at the file outside SQLite, and refuses to work, with
// [ErrForeignSQLite], next to another SQLite library in the same process, whose
// locks it could not see.
package snapshot
