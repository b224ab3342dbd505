package integrity

// Code names a kind of finding. Codes are stable: programs may branch on them.
type Code string

// Severity is what a finding means for the verdict, in rising order.
type Severity int

const (
	SeverityInfo      Severity = iota // nothing is wrong with the data
	SeverityViolation                 // rows break rules of the schema
	SeverityDamage                    // the file is corrupt
)

// Severity returns the severity of the code's findings.
func (c Code) Severity() Severity { return c.kind().severity }

// Every code there is. The table kinds gives each its severity.
const (
	// Information: findings of a healthy file.

	CodeMore            Code = "more"             // the list was cut short
	CodePartialPage     Code = "partial_page"     // bytes beyond the last whole page that no page owns
	CodeTrailingPages   Code = "trailing_pages"   // whole pages past the header's count: SQLite ignores them
	CodeHeaderReserved  Code = "header_reserved"  // bytes that SQLite keeps for the future are in use
	CodeWALTornTail     Code = "wal_torn_tail"    // the log ends in frames of a transaction that was never committed
	CodeWALUnproven     Code = "wal_unproven"     // what the log's users see in it would not outlive them
	CodeWALStaleTail    Code = "wal_stale_tail"   // the log ends in frames that a failed writer left; their commit was never acknowledged
	CodeWALIgnored      Code = "wal_ignored"      // the log's header is not valid, and nothing in it is missing from the database
	CodeWALStray        Code = "wal_stray"        // a log of a database that does not use one
	CodeJournalHot      Code = "journal_hot"      // a transaction was cut off; SQLite undoes it at the next opening
	CodeJournalIgnored  Code = "journal_ignored"  // a journal whose header is damaged, so that SQLite undoes nothing
	CodeIndexImprecise  Code = "index_imprecise"  // another version of SQLite computed an indexed number with other last digits
	CodeUncheckedModule Code = "unchecked_module" // a virtual table whose module this program does not have
	CodeUncheckedRows   Code = "unchecked_rows"   // a table whose expressions cannot be evaluated here
	CodeUncheckedRules  Code = "unchecked_rules"  // CHECK constraints, which SQLite ignores on read-only files

	// Violations: the structure is sound, rules of the schema are broken.

	CodeNull       Code = "null_violation"  // NULL in a NOT NULL column
	CodeCheck      Code = "check_violation" // a CHECK constraint is false
	CodeType       Code = "type_violation"  // a value of the wrong type (STRICT, affinity)
	CodeForeignKey Code = "foreign_key"     // a row refers to a row that is not there
	CodeFKMismatch Code = "fk_mismatch"     // a foreign key names no usable key of its parent table

	// Damage: the file header and the file's size.

	CodeMangled           Code = "mangled"             // explains damage: the file was taken for text
	CodeHeaderMagic       Code = "header_magic"        // does not begin as an SQLite database does
	CodeHeaderPageSize    Code = "header_page_size"    // not a power of two in 512..65536
	CodeHeaderVersion     Code = "header_version"      // file format version neither 1 nor 2
	CodeHeaderReservedLen Code = "header_usable_size"  // reserved space leaves less than 480 bytes of a page
	CodeHeaderFractions   Code = "header_fractions"    // payload fractions are not 64, 32, 32
	CodeHeaderSchema      Code = "header_schema"       // schema format above 4
	CodeHeaderEncoding    Code = "header_encoding"     // text encoding not 1, 2 or 3
	CodeHeaderFreelist    Code = "header_freelist"     // freelist head and count contradict each other or the size
	CodeHeaderVacuum      Code = "header_largest_root" // largest root page past the end
	CodeTruncated         Code = "truncated"           // pages are missing at the end

	// Damage: the write-ahead log.

	CodeWALHeader   Code = "wal_header"            // the log's header is damaged or of an unknown version
	CodeWALLost     Code = "wal_lost_transactions" // committed transactions are beyond a damaged frame
	CodeWALBehind   Code = "wal_behind"            // the database file is newer than what its damaged log proves
	CodeWALForeign  Code = "wal_foreign"           // the log is another database's, or of another time of this one
	CodeWALPageSize Code = "wal_page_size"         // the log belongs to a database of another page size

	// Damage: structure, as SQLite reports it.

	CodeSchema                 Code = "schema_malformed"         // the schema cannot be read or parsed
	CodeSchemaTable            Code = "schema_table"             // the pages that hold the schema are damaged
	CodeSchemaRoot             Code = "schema_rootpage"          // a table or index begins at a page that cannot be its first
	CodeSchemaOrphan           Code = "schema_orphan"            // an index or trigger whose table is gone
	CodeSchemaDuplicate        Code = "schema_duplicate"         // two objects of one name
	CodeSchemaIndex            Code = "schema_index"             // the index of a constraint is not in the schema
	CodeShadow                 Code = "shadow_table"             // a virtual table has lost a table that its data is in
	CodePage                   Code = "btree_page"               // a page is not what its place in a tree requires
	CodeOrder                  Code = "btree_order"              // rows out of order
	CodeKeyOrder               Code = "key_order"                // rows of a table without rowids are out of order
	CodeCell                   Code = "btree_cell"               // cells overlap, leave the page, or free space does not add up
	CodeDepth                  Code = "btree_depth"              // branches of a tree end at different depths
	CodePageMultiplyReferenced Code = "page_multiply_referenced" // one page belongs to two places
	CodePageUnreferenced       Code = "page_unreferenced"        // a page belongs to nothing
	CodePageNumber             Code = "page_number"              // a reference to a page that cannot exist
	CodeOverflow               Code = "overflow"                 // a chain of overflow pages is too short, too long or broken
	CodeFreelist               Code = "freelist"                 // the list of free pages is damaged
	CodePointerMap             Code = "pointer_map"              // the back references of an auto_vacuum database are wrong
	CodeRecord                 Code = "record"                   // a row's bytes do not form a record
	CodeFTS                    Code = "fts_index"                // a full-text index disagrees with its content
	CodeRTree                  Code = "rtree"                    // an R-tree's tables contradict each other
	CodeVirtualTable           Code = "virtual_table"            // another virtual table reports damage
	CodeStructure              Code = "structure"                // damage that SQLite reported in words not known here
	CodeRowsReadable           Code = "rows_readable"            // explains damage: how many rows of a damaged table can be read
	CodeUnreadable             Code = "unreadable"               // SQLite gave up with its code for corruption
	CodeArchive                Code = "archive_damaged"          // the archive's bytes are not those that were stored

	// Damage of indexes only: the tables are whole.

	CodeIndexMissing   Code = "index_missing_row" // a row is not in an index
	CodeIndexCount     Code = "index_count"       // an index has another number of entries than its table rows
	CodeIndexDiffers   Code = "index_differs"     // an index entry disagrees with its row
	CodeIndexNonunique Code = "index_nonunique"   // a UNIQUE index holds a key twice
)

type kind struct {
	severity Severity
	repair   string
}

// kinds has every code that is not damage without a repair.
var kinds = map[Code]kind{
	CodeMore:            {severity: SeverityInfo},
	CodePartialPage:     {severity: SeverityInfo},
	CodeTrailingPages:   {severity: SeverityInfo},
	CodeMangled:         {severity: SeverityInfo},
	CodeRowsReadable:    {severity: SeverityInfo},
	CodeHeaderReserved:  {severity: SeverityInfo},
	CodeWALTornTail:     {severity: SeverityInfo},
	CodeWALUnproven:     {severity: SeverityInfo},
	CodeWALStaleTail:    {severity: SeverityInfo},
	CodeWALIgnored:      {severity: SeverityInfo},
	CodeWALStray:        {severity: SeverityInfo},
	CodeJournalHot:      {severity: SeverityInfo},
	CodeJournalIgnored:  {severity: SeverityInfo},
	CodeIndexImprecise:  {severity: SeverityInfo},
	CodeUncheckedModule: {severity: SeverityInfo},
	CodeUncheckedRows:   {severity: SeverityInfo},
	CodeUncheckedRules:  {severity: SeverityInfo},

	CodeNull:       {severity: SeverityViolation},
	CodeCheck:      {severity: SeverityViolation},
	CodeType:       {severity: SeverityViolation},
	CodeForeignKey: {severity: SeverityViolation},
	CodeFKMismatch: {severity: SeverityViolation},

	// What is derived from the tables, or has one possible value, can be rebuilt (internal/repair).
	CodeHeaderFractions: {severity: SeverityDamage, repair: RepairRebuild},
	CodeHeaderVersion:   {severity: SeverityDamage, repair: RepairRebuild},
	CodeHeaderSchema:    {severity: SeverityDamage, repair: RepairRebuild},
	CodeHeaderEncoding:  {severity: SeverityDamage, repair: RepairRebuild},
	CodeHeaderFreelist:  {severity: SeverityDamage, repair: RepairRebuild},
	CodeHeaderVacuum:    {severity: SeverityDamage, repair: RepairRebuild},
	CodeFreelist:        {severity: SeverityDamage, repair: RepairRebuild},
	CodePointerMap:      {severity: SeverityDamage, repair: RepairRebuild},
	CodeFTS:             {severity: SeverityDamage, repair: RepairRebuild},

	CodeIndexMissing:   {severity: SeverityDamage, repair: RepairReindex},
	CodeIndexCount:     {severity: SeverityDamage, repair: RepairReindex},
	CodeIndexDiffers:   {severity: SeverityDamage, repair: RepairReindex},
	CodeIndexNonunique: {severity: SeverityDamage, repair: RepairReindex},
}

// ofTrees reports whether findings of the code are about pages and trees, not
// about the rows in them.
func (c Code) ofTrees() bool {
	switch c {
	case CodePage, CodeOrder, CodeCell, CodeDepth, CodePageMultiplyReferenced, CodePageUnreferenced, CodePageNumber, CodeOverflow, CodeFreelist, CodePointerMap, CodeRecord:
		return true
	}
	return false
}

func (c Code) kind() kind {
	if k, ok := kinds[c]; ok {
		return k
	}
	return kind{severity: SeverityDamage}
}
