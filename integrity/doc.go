// Package integrity judges whether an SQLite database is whole.
//
// A check has a level (header < probe < quick < full) and gives a [Report]: a
// [Verdict] and the [Finding]s it rests on. Recovery replaces databases on the
// strength of a verdict, so the package keeps three things apart:
//
//   - proof of damage: verdict corrupt or not_a_database;
//   - rules of the application that rows break while the structure is sound:
//     verdict violations, never a reason to restore;
//   - a check that could not be made (locked, permission, input/output error,
//     out of time): a [*CheckError], no verdict at all.
//
// What is checked is the image: the database with its write-ahead log folded in.
// Nothing here writes to the checked database, its sidecars or its directory; where
// SQLite would have to (a hot journal, a WAL without its index) a private copy is
// checked instead.
//
// All functions may be called concurrently; they share no state.
package integrity
