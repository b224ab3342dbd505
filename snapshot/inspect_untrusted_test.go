package snapshot_test

import (
	"strings"
	"testing"
)

// Lost: the memory, a file or the mind of a program that looks into a backup, to a database that
// was made to do harm.
func TestBackupIsOpenedDefensively(t *testing.T) {
	t.Parallel()
	b := newBench(t, "wal")
	db := b.lookInto(b.manual().ID)
	for range 3 { // each one is another connection of the pool
		conn, err := db.Conn(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		for query, want := range map[string]string{
			"ATTACH ':memory:' AS other":                                     "too many attached",
			"VACUUM INTO '/nonexistent/copy.db'":                             "",
			"SELECT hex(zeroblob(400000000))":                                "too big",
			"SELECT replace(hex(zeroblob(4000)), '00', hex(zeroblob(4000)))": "too big",
		} {
			if _, err := conn.ExecContext(t.Context(), query); err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("%s: %v, want an error with %q", query, err, want)
			}
		}
		if _, err := conn.ExecContext(t.Context(), "PRAGMA writable_schema = ON"); err != nil {
			t.Error(err)
		}
		for query, want := range map[string]string{
			"PRAGMA writable_schema": "0", "PRAGMA cell_size_check": "1", "PRAGMA trusted_schema": "0", "PRAGMA query_only": "1",
		} {
			var got string
			if err := conn.QueryRowContext(t.Context(), query).Scan(&got); err != nil || got != want {
				t.Errorf("%s: %q, %v; want %s", query, got, err, want)
			}
		}
	}
}
