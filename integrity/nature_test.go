package integrity

import (
	"bytes"
	"context"
	"crypto/aes"
	"crypto/cipher"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"example.com/snapd/internal/sqlite"
	"example.com/snapd/internal/sqlitefile"
	"example.com/snapd/internal/testdb"
)

// latin1 writes every byte as the character of that number, as a conversion from Latin-1 does.
func latin1(b []byte) []byte {
	var out []rune
	for _, c := range b {
		out = append(out, rune(c))
	}
	return []byte(string(out))
}

// encrypted is b as SQLCipher leaves it: salt and pages as good as random.
func encrypted(b []byte) []byte {
	block, err := aes.NewCipher(make([]byte, 32))
	if err != nil {
		panic(err)
	}
	out := make([]byte, len(b))
	cipher.NewCTR(block, make([]byte, aes.BlockSize)).XORKeyStream(out, b)
	return out
}

// logOf is the -wal of a small database.
func logOf(t *testing.T) []byte {
	t.Helper()
	path := filepath.Join(t.TempDir(), "logged.db")
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	conn, err := sqlite.Open(path, sqlite.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	for _, query := range []string{"PRAGMA journal_mode=wal", "CREATE TABLE t(x)"} {
		if err := conn.Exec(t.Context(), query); err != nil {
			t.Fatal(err)
		}
	}
	log, err := os.ReadFile(path + "-wal")
	if err != nil {
		t.Fatal(err)
	}
	return log
}

// Lost: hours, with a file that another program has encrypted or converted, of which only
// "not a database" or an error code was said.
func TestSaysWhatBecameOfAFile(t *testing.T) {
	whole, err := os.ReadFile(testdb.CRM(t, 256<<10))
	if err != nil {
		t.Fatal(err)
	}
	mails, err := os.ReadFile(makeDB(t, "mails.db", `CREATE TABLE mails(id INTEGER PRIMARY KEY, body TEXT);
		WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n WHERE i<2000)
		INSERT INTO mails SELECT i, 'From: '||i||char(13,10)||'Subject: mail '||i||char(13,10,13,10)||'Hello,'||char(10)||hex(zeroblob(i%90)) FROM n;`))
	if err != nil {
		t.Fatal(err)
	}
	wal := logOf(t)
	overwritten := bytes.Clone(whole)
	copy(overwritten, encrypted(whole[:4096]))
	for name, c := range map[string]struct {
		file []byte
		want string
	}{
		"encrypted":             {encrypted(whole), "it is encrypted (by SQLCipher"},
		"CRLF":                  {bytes.ReplaceAll(whole, []byte("\n"), []byte("\r\n")), "(CRLF)"},
		"CRLF to LF":            {bytes.ReplaceAll(mails, []byte("\r\n"), []byte("\n")), "(CRLF to LF)"},
		"replaced by a decoder": {bytes.ToValidUTF8(whole, []byte("\ufffd")), "(U+FFFD)"},
		"Latin-1 to UTF-8":      {latin1(whole), "UTF-8 throughout"},
		"a log":                 {wal, "it is a -wal file"},
		"a journal":             {append([]byte(sqlitefile.JournalMagic), make([]byte, 600)...), "it is a -journal file"},
		"an overwritten page 1": {overwritten, "its first page was overwritten"},
		"a zeroed page 1":       {append(make([]byte, 4096), whole[4096:]...), "zero bytes: its first page was overwritten"},
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "data.db")
			if err := os.WriteFile(path, c.file, 0o600); err != nil {
				t.Fatal(err)
			}
			r, err := Check(context.Background(), path, Options{Level: LevelQuick})
			if err != nil || !r.Damaged() || !strings.Contains(r.Findings[0].Message, c.want) {
				t.Errorf("%v: %s %v", err, r.Verdict, r.Findings[:min(2, len(r.Findings))])
			}
		})
	}
}

// Lost: trust, where ordinary damage is called a conversion or an encryption.
func TestOrdinaryDamageIsNoConversion(t *testing.T) {
	whole, err := os.ReadFile(testdb.CRM(t, 256<<10))
	if err != nil {
		t.Fatal(err)
	}
	for page := range len(whole) / 4096 {
		for kind, bad := range map[string][]byte{"zeros": make([]byte, 4096), "noise": encrypted(whole[page*4096:][:4096])} {
			b := bytes.Clone(whole)
			copy(b[page*4096:], bad)
			sample := b[:min(len(b), sampleSize)]
			if m := mangled(sample) + lineEndsCut(sample); m != "" {
				t.Errorf("page %d, %s: %s", page+1, kind, m)
			}
			if page == 0 {
				continue
			}
			if looksRandom(sample) {
				t.Errorf("page %d, %s: called encrypted", page+1, kind)
			}
		}
	}
}
