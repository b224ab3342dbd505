package integrity

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"os"
	"testing"

	"example.com/snapd/internal/sqlitefile"
)

// craft makes a database of 512-byte pages with the table u (root page 2) and the
// given script, and lets edit change its bytes. The header's page count is set to
// what the file then has.
func craft(sql string, edit func(b []byte) []byte) func(testing.TB, string) {
	return func(t testing.TB, path string) {
		t.Helper()
		script("PRAGMA page_size=512; CREATE TABLE u(a);"+sql)(t, path)
		b, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		b = edit(b)
		binary.BigEndian.PutUint32(b[28:], uint32(len(b)/512))
		if err := os.WriteFile(path, b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// interior is a page of a table's tree with n cells and all branches to child.
func interior(n int, child uint32) []byte {
	p := make([]byte, 512)
	p[0] = 5
	binary.BigEndian.PutUint16(p[3:], uint16(n))
	binary.BigEndian.PutUint16(p[5:], uint16(512-5*n))
	binary.BigEndian.PutUint32(p[8:], child)
	for i := range n {
		at := 512 - 5*(i+1)
		binary.BigEndian.PutUint16(p[12+2*i:], uint16(at))
		binary.BigEndian.PutUint32(p[at:], child)
		p[at+4] = byte(i + 1)
	}
	return p
}

// leaf is a page of a table's tree with n rows of one column, NULL.
func leaf(n int) []byte {
	p := make([]byte, 512)
	p[0] = 13
	binary.BigEndian.PutUint16(p[3:], uint16(n))
	binary.BigEndian.PutUint16(p[5:], uint16(512-4*n))
	for i := range n {
		at := 512 - 4*(i+1)
		binary.BigEndian.PutUint16(p[8+2*i:], uint16(at))
		copy(p[at:], []byte{2, byte(i + 1), 2, 0})
	}
	return p
}

// withSidecar writes a sidecar of the database that build makes.
func withSidecar(build func(testing.TB, string), suffix string, content []byte) func(testing.TB, string) {
	return func(t testing.TB, path string) {
		t.Helper()
		build(t, path)
		if err := os.WriteFile(path+suffix, content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

func sparseFile(pageSize uint16, size int64, sql string) func(testing.TB, string) {
	return func(t testing.TB, path string) {
		t.Helper()
		script(fmt.Sprintf("PRAGMA page_size=%d; CREATE TABLE u(a);%s", pageSize, sql))(t, path)
		b, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		binary.BigEndian.PutUint32(b[28:], uint32(size/int64(pageSize)))
		if err := os.WriteFile(path, b, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Truncate(path, size); err != nil {
			t.Skipf("NOT TESTED: the file system has no sparse file of %d bytes: %v", size, err)
		}
	}
}

func noise(n int) []byte {
	r := rand.NewChaCha8([32]byte{7})
	b := make([]byte, n)
	_, _ = r.Read(b) // never fails
	return b
}

// rollback is a journal that says how many records it has and how many pages the
// database had; it has room for one record.
func rollback(records, pages uint32) []byte {
	b := append([]byte(sqlitefile.JournalMagic), make([]byte, 2048-8)...)
	for i, v := range []uint32{records, 0, pages, 512, 512} {
		binary.BigEndian.PutUint32(b[8+4*i:], v)
	}
	return b
}

func craftedFiles() []crafted {
	page := func(n int, p []byte) func([]byte) []byte {
		return func(b []byte) []byte { copy(b[(n-1)*512:], p); return b }
	}
	tree := func(depth, fan int, last []byte) func([]byte) []byte {
		return func(b []byte) []byte {
			copy(b[512:], interior(fan, 3))
			for i := range depth {
				b = append(b, interior(fan, uint32(4+i))...)
			}
			return append(b, last...)
		}
	}
	plain := script("CREATE TABLE u(a); INSERT INTO u VALUES(1)")
	inWAL := script("PRAGMA journal_mode=wal; CREATE TABLE u(a); INSERT INTO u VALUES(1)")
	return []crafted{
		{name: "page1_loop", build: craft("PRAGMA writable_schema=1; UPDATE sqlite_schema SET rootpage=1", func(b []byte) []byte { return b }), verdict: Corrupt, levels: true},
		{name: "page1_child", build: craft("", page(2, interior(60, 1))), verdict: Corrupt},
		{name: "root_is_own_child", build: craft("", page(2, interior(70, 2))), verdict: Corrupt},
		{name: "branches_shared", build: craft("", tree(8, 70, leaf(80))), verdict: Corrupt, levels: true},
		{name: "branches_shared_index", build: craft("CREATE INDEX i ON u(a); PRAGMA writable_schema=1; UPDATE sqlite_schema SET rootpage=2 WHERE type='index';", tree(8, 70, leaf(80))), verdict: Corrupt},
		{name: "branches_shared_behind_rules", build: craft("CREATE TABLE v(a); PRAGMA writable_schema=1; UPDATE sqlite_schema SET sql='CREATE TABLE v(a, b AS (nosuch(a)) NOT NULL)' WHERE name='v';", tree(8, 70, leaf(80))), verdict: Corrupt},
		{name: "chain_deep", build: craft("", tree(20000, 0, leaf(1))), verdict: Corrupt},
		{name: "chain_deep_one_cell", build: craft("", tree(20000, 1, leaf(1))), verdict: Corrupt},
		{name: "freelist_loop", build: craft("", func(b []byte) []byte {
			binary.BigEndian.PutUint32(b[32:], 3)
			binary.BigEndian.PutUint32(b[36:], 2)
			return append(append(b, 0, 0, 0, 3, 0, 0, 0, 0), make([]byte, 504)...)
		}), verdict: Corrupt},
		{name: "freelist_count", build: craft("", func(b []byte) []byte {
			binary.BigEndian.PutUint32(b[32:], 3)
			binary.BigEndian.PutUint32(b[36:], 1)
			return append(append(b, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff), make([]byte, 504)...)
		}), verdict: Corrupt},
		{name: "payload_2_gib", build: craft("", page(2, append([]byte{13, 0, 0, 0, 1, 1, 0x80, 0, 1, 0x80}, append(make([]byte, 374), 0x87, 0xff, 0xff, 0xff, 0x7f, 1, 2, 0)...))), verdict: Corrupt},
		{name: "overflow_loop", build: craft("INSERT INTO u VALUES(zeroblob(100000));", func(b []byte) []byte {
			for p := 3 * 512; p < len(b); p += 512 {
				binary.BigEndian.PutUint32(b[p:], 3)
			}
			return b
		}), verdict: Corrupt},
		{name: "count_2_32", build: func(t testing.TB, path string) {
			plain(t, path)
			b, _ := os.ReadFile(path)
			binary.BigEndian.PutUint32(b[28:], 0xffffffff)
			if err := os.WriteFile(path, b, 0o600); err != nil {
				t.Fatal(err)
			}
		}, verdict: Corrupt, levels: true},
		{name: "sparse_4k", build: sparseFile(4096, 1<<40, ""), verdict: Corrupt, levels: true},
		{name: "sparse_512", build: sparseFile(512, 1<<40, ""), verdict: Corrupt, levels: true},
		// SQLite's own check of such a schema leaves the pages to us, see complete.
		{name: "sparse_view", build: sparseFile(512, 1<<37, "CREATE VIEW v AS SELECT 1"), verdict: Corrupt},
		{name: "wal_noise", build: withSidecar(inWAL, "-wal", noise(1<<20))},
		{name: "wal_header_noise", build: withSidecar(inWAL, "-wal", append([]byte{0x37, 0x7f, 6, 0x82, 0, 0x2d, 0xe2, 0x18, 0, 1, 0, 0}, noise(1<<20)...))},
		{name: "wal_zeros", build: withSidecar(inWAL, "-wal", make([]byte, 8<<20)), verdict: Healthy},
		{name: "shm_noise", build: withSidecar(withSidecar(inWAL, "-wal", noise(1<<16)), "-shm", noise(1<<16))},
		{name: "shm_ones", build: withSidecar(withSidecar(inWAL, "-wal", noise(1<<16)), "-shm", bytes.Repeat([]byte{0xff}, 1<<15))},
		{name: "journal_noise", build: withSidecar(plain, "-journal", noise(1<<20))},
		{name: "journal_records", build: withSidecar(plain, "-journal", rollback(0xffffffff, 3))},
		{name: "journal_grows", build: withSidecar(craft("", func(b []byte) []byte { return b }), "-journal", rollback(0, 2000000)), err: ErrCodeLimit, levels: true},
		{name: "journal_grows_more", build: withSidecar(plain, "-journal", rollback(0, 0xfffffffe)), err: ErrCodeLimit},
	}
}
