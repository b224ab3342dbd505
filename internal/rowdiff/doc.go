// Package rowdiff says in which rows two states of a database differ. It reads both, and changes neither.
//
//	state A ──┐  schema ──▶ objects that were added, removed, changed
//	          ├─ pages  ──▶ ranges of rowids whose leaf pages differ      (walk; all, where pages cannot be compared)
//	state B ──┘  rows   ──▶ read by SQL in those ranges, merged in order, those that differ ──▶ insert, delete, update
//
// How the rows of a table are matched depends on what identifies one:
//
//	                           | read in order of | matched by
//	---------------------------+------------------+--------------------------------------------------------------
//	INTEGER PRIMARY KEY        | rowid            | key: it is the rowid
//	WITHOUT ROWID              | key              | key
//	another PRIMARY KEY        | rowid            | key: what differs at a rowid is sorted by key in a scratch database
//	none                       | rowid            | rowid; whole rows, where they kept content and order and got other
//	                           |                  | rowids, as VACUUM does
//	keys that cannot be        | as it comes      | whole rows
//	compared, or are others    |                  |
//
// A row is what a table stores: columns that are generated are not compared, since they follow from the others. NULL in a key
// matches nothing. Memory is bounded for any number of rows; of them only those of a scratch database take space on disk.
//
// # Which pages are read
//
// Where the digests of all pages are known, a leaf page with one number and one digest in the same tree of both states
// holds the same cells. So only the interior pages of each tree are read, and the leaves that differ:
//
//	A: [ root ]──[ 10 20 30 ]       B: [ root ]──[ 10 20' 31 ]      rowids of 20, 20', 30 and 31
//	                                                                 are read from both
//
// A cell may go on in overflow pages, which no interior page names. Every page that differs is accounted for: it is
// one of a tree, of the freelist, of the pointer map, or in the chain of a row on a leaf that differs. While one
// is left, the rows with overflow pages on equal leaves are compared as well.
//
// # From state to state
//
// Where the next comparison is with the state before, and the changed pages are known, no tree is walked again: which tree each page is of
// follows from the interior pages that changed, and the rows are those on the leaves that changed or went to another tree. Where that says too
// little, all trees are walked.
package rowdiff
