package pages

// Offsets into page 1 (https://www.sqlite.org/fileformat2.html#the_database_header);
// all numbers there are big-endian.
const (
	hdrSize        = 100
	hdrWriteFormat = 18 // 1 rollback journal, 2 WAL; the read version follows
	hdrReserved    = 20
	hdrPageCount   = 28
	hdrCookie      = 40
)

// pendingByte is where SQLite's locks are; the page that holds it stores nothing.
const pendingByte = 0x40000000

// lockPage is the number of the page that holds the lock bytes.
func lockPage(pageSize int) int64 { return pendingByte/int64(pageSize) + 1 }
