// Package repair makes a private copy of a damaged database whole and proves that no
// row was lost.
//
// It repairs what can be derived from what is sound: fields of the file header that
// have one possible value, indexes, full-text indexes, the list of free pages and the
// back references of auto_vacuum from the tables; and of a damaged write-ahead log it
// keeps what the checksums prove. Where a row might be lost it gives up with
// [ErrNotRepairable]: then a backup loses less.
//
// Package integrity judges, before and after; this package is the one that writes, and
// only to the copy. To put the copy in the database's place is its caller's business.
//
//	copy + report
//	   │  roll back the journal, as SQLite does at the next opening
//	   │  apply the WAL: the newest state that is proven            log.go
//	   │  set header fields that have one possible value            header.go
//	   │  full check ── no damage ──────────────────────────────▶ Result
//	   │  empty damaged indexes, forget the list of free pages      derived.go, indexpages.go
//	   │  VACUUM INTO and back                                      vacuum.go
//	   │  REINDEX, rebuild full-text indexes                        derived.go, fulltext.go
//	   │  every row of every table is the same as before            digests.go
//	   ▼  full check ── no damage ──────────────────────────────▶ Result
package repair
