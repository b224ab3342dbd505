package sqlitefile

import (
	"encoding/binary"
)

// The log's index, the -shm, begins with two copies of a header and what follows
// (https://www.sqlite.org/walformat.html §2.1; wal.c: WalIndexHdr, WalCkptInfo). Its
// numbers are in the byte order of the machine; salts and frame checksum are as the log
// has them.
//
//	 0 version   4 unused    8 change counter   12 initialized  13 big-endian checksums
//	14 page size, 2 bytes   16 last frame       20 pages in the database
//	24 checksum of the last frame, 8 bytes      32 salts, 8 bytes
//	40 checksum of bytes 0 to 39, 8 bytes
//	48 second copy
//	96 frames that a checkpoint has copied     100 five read marks
//	120 lock bytes: write, checkpoint, recover, five readers     128 in use
//
// A commit writes the second copy first, then the first one.
const (
	SHMHeaderSize = 48
	// SHMHeadSize is what ParseWALIndex needs.
	SHMHeadSize = 2*SHMHeaderSize + 4
	// SHMReadLock is the number of the lock of read mark 0 (wal.c: WAL_READ_LOCK): what
	// xShmLock calls its offset.
	SHMReadLock = 3
	// SHMUseByte is the byte that every connection holds a shared lock on for as long as it
	// has the index open (os_unix.c: UNIX_SHM_DMS).
	SHMUseByte = 128

	shmVersion = 3007000
)

// WALIndex is the header of a log's index: how far the log was committed in the eyes of
// those who use it.
type WALIndex struct {
	LastFrame int64   // of the last acknowledged commit; 0 for none
	Pages     uint32  // of the database after it
	Sum       [8]byte // that frame's checksum, as it is stored in the log
	Salts     [8]byte // as they are stored in the log's header
	PageSize  int     // bytes
	Changes   uint32  // raised with every commit, also across generations of the log
	BigEndian bool    // the log's checksums read big-endian words
	// Copied is the last frame that a checkpoint has copied into the database file.
	Copied int64
}

// FollowedBy reports whether salts are those of the generation after that of x: a log that is
// begun again adds 1 to the first of its two salts, and draws the second (wal.c: walRestartHdr).
func (x WALIndex) FollowedBy(salts [8]byte) bool {
	return binary.BigEndian.Uint32(salts[:]) == binary.BigEndian.Uint32(x.Salts[:])+1
}

// ParseWALIndex parses the head of a -shm, of SHMHeadSize bytes. Where its two copies differ,
// as they do while a commit is writing them, torn is true; where it is none that SQLite
// would go by, ok is false.
func ParseWALIndex(b []byte) (x WALIndex, torn, ok bool) {
	if len(b) < SHMHeadSize {
		return x, false, false
	}
	if [SHMHeaderSize]byte(b) != [SHMHeaderSize]byte(b[SHMHeaderSize:]) {
		return x, true, false
	}
	if x, ok = ParseWALIndexHeader(b[:SHMHeaderSize]); ok {
		x.Copied = int64(binary.NativeEndian.Uint32(b[2*SHMHeaderSize:]))
	}
	return x, false, ok
}

// ParseWALIndexHeader parses one copy of the header, of SHMHeaderSize bytes: what
// sqlite3_snapshot holds as well.
func ParseWALIndexHeader(b []byte) (x WALIndex, ok bool) {
	const initialized, bigEndian, summed = 12, 13, 40
	if len(b) < SHMHeaderSize {
		return x, false
	}
	ne := binary.NativeEndian
	s1, s2 := shmSum(b[:summed])
	if ne.Uint32(b) != shmVersion || b[initialized] == 0 || ne.Uint32(b[40:]) != s1 || ne.Uint32(b[44:]) != s2 {
		return x, false
	}
	size := int(ne.Uint16(b[14:]))
	x = WALIndex{
		LastFrame: int64(ne.Uint32(b[16:])), Pages: ne.Uint32(b[20:]), Salts: [8]byte(b[32:40]),
		PageSize: size&0xfe00 | size&1<<16, // 65536 is stored as 1
		Changes:  ne.Uint32(b[8:]), BigEndian: b[bigEndian] != 0,
	}
	binary.BigEndian.PutUint32(x.Sum[:], ne.Uint32(b[24:]))
	binary.BigEndian.PutUint32(x.Sum[4:], ne.Uint32(b[28:]))
	return x, true
}

// shmSum is the log's checksum in the byte order of the machine.
func shmSum(b []byte) (s1, s2 uint32) {
	for ; len(b) >= 8; b = b[8:] {
		s1 += binary.NativeEndian.Uint32(b) + s2
		s2 += binary.NativeEndian.Uint32(b[4:]) + s1
	}
	return s1, s2
}
