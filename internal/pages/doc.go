// Package pages reads a live database as a consistent stream of pages, and
// writes one back.
//
// Everything goes through SQLite's own pager (the sqlite_dbpage virtual table)
// inside one transaction, so the image is what some commit left behind, whatever
// other processes do meanwhile: in WAL mode they are never held up, in the
// rollback-journal modes writers wait while a Snapshot is open.
//
// Reading changes nothing: the bytes, the journal mode and the directory's
// listing stay as they were. What SQLite must create to read a WAL database that
// nobody has open is removed again, unless somebody opened the database meanwhile;
// a database that SQLite could read only by changing it (a rollback pending, or a
// WAL without the right to create its index) is copied to a private file first,
// under proof that nobody changed it during the copy.
//
// Concurrency: a Snapshot or WriteTx belongs to one goroutine at a time.
package pages
