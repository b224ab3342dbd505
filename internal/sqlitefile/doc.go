// Package sqlitefile is SQLite's file format and nothing else: the database file, its
// write-ahead log, the log's index and the rollback journal. It imports nothing of this
// module, opens no file and changes none; every length that it reads is bounded.
//
//	names       the files next to a database
//	header      the database header, the first 100 bytes of page 1
//	lockpage    the page of the lock bytes
//	ptrmap      pointer map pages of auto_vacuum databases
//	freelist    trunk pages of the freelist
//	page, cell  b-tree pages and their cells
//	varint      variable-length integers
//	build       a new database, b-tree by b-tree
//	record      rows and index entries as columns
//	partial     a column of a record that is cut off
//	file        pages, overflow chains and rows out of a whole file
//	wal         header, frames and checksums of the write-ahead log
//	walread     what a log's checksums prove
//	salvage     transactions of a log whose header is damaged
//	copied      what of a damaged log a checkpoint has brought into the database file
//	shm         the header of the log's index
//	journal     the header of the rollback journal
//	rollback    the pages that a rollback journal puts back
//
// Page numbers count from 1; 0 is no page. Sections (§) are those of
// https://www.sqlite.org/fileformat2.html.
package sqlitefile

import "errors"

// ErrMalformed is in the chain of every error about bytes that the format does not
// allow. Errors of reading are returned as they came.
var ErrMalformed = errors.New("malformed")
