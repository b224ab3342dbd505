// Package testdb holds what tests of all packages share: databases of every
// kind, writers in other processes, ways to damage a file, and witnesses that
// nothing changed. Only tests import it.
//
// A database that a test made or opened here is integrity-checked when the test
// ends, unless it was damaged on purpose through this package or Damaged.
//
// Nothing here opens a database file by itself: closing such a descriptor would
// drop every lock this process holds on the file, and with it what a test wants
// to see. Bytes are read and written by child processes instead.
package testdb
