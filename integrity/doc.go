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
// A check judges the image: the database with its write-ahead log applied.
// Nothing here writes to the checked database, its sidecars or its directory; where
// SQLite would have to (a hot journal, a WAL without its index) a private copy is
// checked instead. To make a damaged database whole is internal/repair's business, for
// which [Scan] and [ProveLog] say more than a report does.
//
// All functions may be called concurrently; they share no state.
//
// # Where to find what
//
//	integrity, live, inplace, copy, archive,  the doors: in place, on a private copy, in a caller's
//	confirm                                   transaction, of a backup, a second time; which of them leaves no trace
//	level, report, codes, errors              what comes out of them
//	files, header, page1, walindex            level header: the bytes, without SQLite (see sqlitefile)
//	sql, schema                               level probe, and the order of those above it
//	structure, complete, accounting,          levels quick and full: SQLite's own checks, what they leave
//	foreignkeys                               out, and what stands in where they cannot be run whole
//	foreignlog                                is the log the file's own
//	budget, schemasize                        what a check may cost
//	lines, trees                              codes, places and names out of what SQLite says
//	nature                                    what became of a file, in words: encrypted, converted, a bare log
//	readable                                  how many rows of a damaged table can be read
//	scan, provenlog                           for a repair: every finding, and what a damaged log proves
//
// The fixtures in testdata/corrupt are made by internal/fixtures (go generate).
package integrity
