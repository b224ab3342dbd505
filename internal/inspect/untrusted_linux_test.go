package inspect_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"example.com/snapd/internal/archive"
	"example.com/snapd/internal/inspect"
	"example.com/snapd/internal/rowdiff"
)

const (
	costEnv   = "SNAPD_TEST_COST" // the file that a child looks into
	mostBytes = 256 << 20         // of memory
	mostTime  = 10 * time.Second  // of processor time
)

// untrusted are databases that were made to do harm: what makes one, what makes the other side of a comparison of it, and queries.
var untrusted = map[string]struct {
	schema, change string
	queries        []string
}{
	"large values": {"CREATE TABLE t(id INTEGER PRIMARY KEY, b, c); INSERT INTO t VALUES(1, zeroblob(60000000), 1)", "UPDATE t SET c=2",
		[]string{"SELECT b||b||b||b FROM t", "SELECT hex(b) FROM t", "SELECT b FROM t ORDER BY b, c"}},
	"default values": {"CREATE TABLE t(id INTEGER PRIMARY KEY); WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n WHERE i<20000) INSERT INTO t SELECT i FROM n;" +
		"ALTER TABLE t ADD COLUMN d DEFAULT '" + strings.Repeat("x", 200_000) + "'", "DELETE FROM t WHERE id%2=0",
		[]string{"SELECT * FROM t", "SELECT d FROM t ORDER BY d||id", "SELECT DISTINCT d||id FROM t"}},
	"what is computed": {"CREATE TABLE t(id INTEGER PRIMARY KEY, a, b AS (hex(zeroblob(9000000+a)))); WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n WHERE i<3) INSERT INTO t SELECT i, i FROM n;" +
		"CREATE VIEW endless AS WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n) SELECT * FROM n; CREATE VIEW piling AS WITH RECURSIVE n(i, s) AS (SELECT 1, '' UNION ALL SELECT i+1, i || hex(zeroblob(400000)) FROM n) SELECT * FROM n ORDER BY s",
		"UPDATE t SET a=a+1", []string{"SELECT * FROM t", "SELECT max(i) FROM endless", "SELECT * FROM piling", "SELECT group_concat(b) FROM t", "SELECT * FROM t AS x, t AS y, t AS z ORDER BY x.b, y.b"}},
	"many tables": {manyTables(200), "ALTER TABLE t7 ADD COLUMN more; DROP TABLE t9", []string{"SELECT * FROM sqlite_schema", "SELECT * FROM t1, t2, t3"}},
}

func manyTables(n int) string {
	var b strings.Builder
	columns := ""
	for i := range 50 {
		columns += fmt.Sprintf(", a_column_with_a_long_name_%d TEXT DEFAULT 'x' CHECK(length(a_column_with_a_long_name_%d)<1000)", i, i)
	}
	for i := range n {
		fmt.Fprintf(&b, "CREATE TABLE t%d(id INTEGER PRIMARY KEY%s);", i, columns)
	}
	return "BEGIN; " + b.String() + "COMMIT"
}

// Lost if this fails: the server on which an administrator looks into an untrusted backup, to one look.
func TestUntrustedDatabasesCostLittle(t *testing.T) {
	if path := os.Getenv(costEnv); path != "" {
		lookInto(t, path)
		return
	}
	t.Parallel()
	for name, v := range untrusted {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			path := filepath.Join(t.TempDir(), "data.db")
			for _, side := range []struct{ path, change string }{{path, "SELECT 1"}, {path + ".other", v.change}} {
				if err := os.WriteFile(side.path, imageOf(t, v.schema, side.change), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			cmd := exec.Command(os.Args[0], "-test.run=^TestUntrustedDatabasesCostLittle$", "-test.v")
			cmd.Env = append(os.Environ(), costEnv+"="+path, costEnv+"_OF="+name)
			out, err := cmd.CombinedOutput()
			if err != nil {
				t.Fatalf("%v\n%.2000s", err, out)
			}
			peak := int64(0)
			if _, after, ok := bytes.Cut(out, []byte("peak kB ")); ok {
				_, err = fmt.Sscan(string(after), &peak)
			}
			used := cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()
			t.Logf("%d MiB, %v", peak>>10, used)
			if err != nil || peak == 0 || peak<<10 > mostBytes || used > mostTime {
				t.Errorf("%d MiB, %v of processor time, %v\n%.2000s", peak>>10, used, err, out)
			}
		})
	}
}

// lookInto is the child: a comparison, queries, and what they took.
func lookInto(t *testing.T, path string) {
	if err := compare(t, path, path+".other"); err != nil {
		fmt.Printf("the comparison ends with %.200v\n", err)
	}
	file, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	fi, err := file.Stat()
	if err != nil {
		t.Fatal(err)
	}
	i := shown(t, file, int(fi.Size()))
	for _, query := range untrusted[os.Getenv(costEnv+"_OF")].queries {
		_, err := i.Query(t.Context(), query, inspect.QueryOptions{Timeout: time.Second})
		fmt.Printf("%.60s ends with %.200v\n", query, err)
	}
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		t.Fatal(err)
	}
	_, after, _ := bytes.Cut(status, []byte("VmHWM:"))
	peak := 0
	if _, err := fmt.Sscan(string(after), &peak); err != nil {
		t.Fatal(err)
	}
	fmt.Println("peak kB", peak)
}

// compare compares two files as the images of backups.
func compare(t *testing.T, paths ...string) error {
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	var sides [2]*rowdiff.Side
	var images [2]*archive.Reader
	for i, path := range paths {
		raw, err := os.Open(path)
		if err != nil {
			t.Fatal(err)
		}
		stored, err := os.Create(filepath.Join(t.TempDir(), "stored"))
		if err != nil {
			t.Fatal(err)
		}
		w, err := archive.NewWriter(stored, archive.WriterOptions{PageSize: 4096, Seed: 1})
		if err != nil {
			t.Fatal(err)
		}
		size, err := io.Copy(w, raw)
		if err == nil {
			_, err = w.Finish(archive.Facts{})
		}
		if err != nil {
			t.Fatal(err)
		}
		fi, _ := stored.Stat()
		if images[i], err = archive.NewReader(stored, fi.Size()); err != nil {
			t.Fatal(err)
		}
		seen := shown(t, images[i], int(size))
		conn, err := seen.Conn()
		if err != nil {
			return err
		}
		t.Cleanup(func() { _ = conn.Close() })
		sides[i] = &rowdiff.Side{Conn: conn, Bytes: size, Explain: seen.Explain, Keep: seen.Keep}
	}
	d, err := rowdiff.New(ctx, sides[0], sides[1], t.TempDir())
	if err != nil {
		return err
	}
	defer d.Close()
	pages, err := rowdiff.ComparePages(ctx, images[0], images[1])
	if err == nil {
		err = d.Narrow(ctx, pages)
	}
	if err != nil {
		return err
	}
	_, err = d.Compare(ctx, rowdiff.Options{Rows: 100, Bytes: 4 << 20, Value: 16 << 10, Patch: io.Discard})
	return errors.Join(err, ctx.Err())
}
