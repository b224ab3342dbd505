// Package repair makes a private copy of a damaged database whole and proves what became
// of its rows.
//
// It reads every table from its pages and writes it again, row by row as it is stored, and has
// SQLite derive the rest: indexes, full-text indexes, the list of free pages, back
// references. Fields of the header that have one possible value get it, and of a damaged
// write-ahead log it keeps what the checksums prove. What of the schema is lost comes from a
// donor, a backup of the database.
//
// That no row is lost is proven in both directions: every row has its index entries, since
// SQLite made them from the rows, and every entry of an old index has its row. Rows that
// only an index still names are counted and listed ([Loss]): their page is an older copy of
// itself, or of another page. Where rows are lost in any other way it gives up with
// [ErrNotRepairable].
//
// [Salvage] takes out of a damaged database what can be read, however much is lost, into a new one:
// every b-tree page is given to the table that it can only belong to.
//
//	the pages, from the file and the log                                     damaged.go
//	the schema, and what records look like by it                             salvage_read.go, shape.go
//	which tree each page is of                                               claim.go, owners.go
//	rows into a new database; those without a place into lost_and_found      salvage.go, salvage_insert.go, salvage_lost.go
//	rows that a backup lacks of a damaged database                           unrestored.go
//	pages that are not what the last commit left, from an image of that      heal.go
//
// Package integrity judges, before and after; this package is the one that writes, and
// only to the copy. To put the copy in the database's place is its caller's business.
//
//	copy + report
//	   │  roll back the journal, as SQLite does at the next opening
//	   │  apply the WAL: the newest state that is proven                      log.go
//	   │  set header fields that have one possible value                      header.go
//	   │  full check ── no damage ────────────────────────────────────────▶ Result
//	   │  header and schema, what is lost of them from the donor              source.go, adopt.go
//	   │  a schema that SQLite can parse; derived tables that are damaged     schema.go
//	   │  every row of every table into a new file                            rebuild.go, walk.go
//	   │  pages that belong to no table hold no row                           rest.go
//	   │  REINDEX, rebuild full-text indexes                                  rebuild.go, fulltext.go
//	   │  the same rows as before, and every old index entry has its row      rebuild.go, losses.go
//	   ▼  full check ── no damage ────────────────────────────────────────▶ Result
package repair
