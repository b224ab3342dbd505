package sqlitefile

// The suffixes of the files that SQLite keeps next to a database, under its name.
const (
	WALSuffix     = "-wal"     // the write-ahead log (§4)
	SHMSuffix     = "-shm"     // the log's index, in shared memory
	JournalSuffix = "-journal" // the rollback journal (§3)
)

// Suffixes returns the suffixes of all files that SQLite keeps next to a database.
func Suffixes() [3]string { return [...]string{WALSuffix, SHMSuffix, JournalSuffix} }

// WAL returns the name of the write-ahead log of the database at path.
func WAL(path string) string { return path + WALSuffix }

// SHM returns the name of the log's index of the database at path.
func SHM(path string) string { return path + SHMSuffix }

// Journal returns the name of the rollback journal of the database at path.
func Journal(path string) string { return path + JournalSuffix }
