package sqlitefile

// The lock bytes (§1.4), on which SQLite holds its locks on the main file:
//
//	1 GiB        +1         +2                +512
//	+------------+----------+-----------------+
//	| PENDING    | RESERVED | SHARED (510)    |
//	+------------+----------+-----------------+
//
// The page in which they are stores nothing, and SQLite neither reads nor writes it.
const (
	LockByte  = 1 << 30 // offset of the first lock byte (os.h: PENDING_BYTE)
	LockBytes = 512
)

// LockPage returns the number of the page with the lock bytes. Databases of fewer
// pages have none.
func LockPage(pageSize int) uint32 { return uint32(LockByte/pageSize + 1) }
