// Package livedb is the one way to open a live database, and to leave no trace.
//
// Begin pins a committed state in a read transaction: the bytes, the journal mode and
// the directory's listing stay as they were. How the files are read is chosen from one
// list (Files.Strategies), which package integrity's checks use as well. What SQLite must
// create to read a WAL database that is not open elsewhere is removed again, unless another process opened
// the database meanwhile; a database that SQLite could read only by changing it (a rollback
// pending, or a WAL without the right to create its index) is copied to a private file
// first, under proof that it did not change during the copy.
//
// # Descriptors
//
// POSIX record locks belong to the process: closing any descriptor of a file
// drops every lock that the process holds on it, those of SQLite connections
// included (fcntl(2); https://www.sqlite.org/howtocorrupt.html §2.2). Afterwards
// another process can write into the middle of the application's transaction.
//
// So this package has global state, forced on it by that rule: unless OFD locks
// are in effect (UseOFDLocks), a descriptor of a database file, once opened, is
// shared by all who open the same file (device and inode) and stays open for the
// life of the process; Close only gives up the handle. The one exception is a
// file that has been deleted and that nothing else in the process has open: it
// can never be opened again, and keeping it would keep its disk space.
// With OFD locks, which belong to the descriptor they were set through, Close closes.
//
// A database's -wal and -journal carry no locks: OpenSidecar opens them and Close
// closes. Its -shm carries POSIX locks in every mode, so the descriptor
// that OpenIndex opens is kept like those of a database file, with OFD locks too.
//
// All functions are safe for concurrent use; a Tx belongs to one goroutine at a time.
package livedb
