package integrity

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"example.com/snapd/internal/sqlitefile"
	"example.com/snapd/internal/testdb"
)

// notInFixtures are codes that no small file alone can make a check give, with the
// test that makes them, or the reason why there is none.
var notInFixtures = map[Code]string{
	CodeWALUnproven:    "TestUnprovenFrame: needs users of the log",
	CodeWALStaleTail:   "TestStaleTail: needs the log's index of a running machine",
	CodeWALBehind:      "internal/repair TestRepairLogAfterCheckpoint: needs a checkpoint that was cut off",
	CodeIndexImprecise: "TestIndexOfAnotherVersionIsSound: needs an older SQLite",
	CodeUncheckedRules: "only of databases above 64 MiB that no process has open",
	CodeArchive:        "TestArchive: of archives only",
	CodeStructure:      "for words of versions of SQLite to come",
}

// Every code is produced by something: one that nothing gives breaks a promise to those
// who branch on it, or is a class that lost its fixture.
func TestEveryCodeIsProduced(t *testing.T) {
	t.Parallel()
	produced := map[Code]bool{}
	files, err := filepath.Glob(filepath.Join(corpus, "*.db"))
	if err != nil {
		t.Fatal(err)
	}
	for _, db := range files {
		rep, err := Check(t.Context(), stage(t, db), Options{Level: LevelFull})
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range rep.Findings {
			produced[f.Code] = true
		}
	}
	for _, c := range declaredCodes(t) {
		reason := notInFixtures[c]
		switch {
		case !produced[c] && reason == "":
			t.Errorf("no fixture gives code %s", c)
		case produced[c] && reason != "":
			t.Errorf("a fixture gives code %s, which is listed as impossible: %s", c, reason)
		}
	}
}

// declaredCodes reads the constants of type Code in codes.go.
func declaredCodes(t *testing.T) (codes []Code) {
	t.Helper()
	f, err := parser.ParseFile(token.NewFileSet(), "codes.go", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	ast.Inspect(f, func(n ast.Node) bool {
		v, ok := n.(*ast.ValueSpec)
		if !ok || len(v.Values) != 1 {
			return true
		}
		if name, ok := v.Type.(*ast.Ident); ok && name.Name == "Code" {
			s, err := strconv.Unquote(v.Values[0].(*ast.BasicLit).Value)
			if err != nil {
				t.Fatal(err)
			}
			codes = append(codes, Code(s))
		}
		return true
	})
	if len(codes) < 50 {
		t.Fatalf("%d codes in codes.go", len(codes))
	}
	return codes
}

// newerThan is the first version of the C shell that can read a fixture.
var newerThan = map[string]string{"sound_fts5_contentless_delete": "3.43"}

// The C library's own shell, which shares no code of ours, finds nothing wrong with
// the controls: a control that is not sound would teach us to call damage healthy.
func TestControlsAreSoundToTheShell(t *testing.T) {
	t.Parallel()
	testdb.RequireTool(t, "sqlite3")
	files, err := filepath.Glob(filepath.Join(corpus, "*.want"))
	if err != nil {
		t.Fatal(err)
	}
	version := ""
	for _, file := range files {
		name := strings.TrimSuffix(filepath.Base(file), ".want")
		w := readWant(t, file)
		if w.verdict != string(Healthy) || w.code != "" && !strings.HasPrefix(name, "sound_") {
			continue
		}
		path := stage(t, strings.TrimSuffix(file, ".want")+".db")
		if version == "" {
			version = testdb.ShellQuery(t, path, "SELECT sqlite_version()")
		}
		if need := newerThan[name]; need != "" && older(version, need) {
			t.Logf("%s: the shell is %s and cannot read it", name, version)
			continue
		}
		if got := testdb.ShellQuery(t, path, "PRAGMA integrity_check"); got != "ok" {
			t.Errorf("%s: sqlite3 says %s", name, got)
		}
	}
}

// older compares the first two numbers of versions.
func older(a, b string) bool {
	var v [2][2]int
	for i, s := range []string{a, b} {
		fmt.Sscanf(s, "%d.%d", &v[i][0], &v[i][1])
	}
	return slices.Compare(v[0][:], v[1][:]) < 0
}

// The page at 1 GiB, which SQLite locks bytes of and never stores anything in, is
// found in use; a sound database that is as large is not. Both files are sparse.
func TestLockBytePageInUse(t *testing.T) {
	t.Parallel()
	const pageSize, lockPage = 65536, 1<<30/65536 + 1
	const rows = "CREATE TABLE t(a INTEGER PRIMARY KEY, b); INSERT INTO t VALUES(1, zeroblob(60000)),(2, zeroblob(60000)),(3, zeroblob(60000))"
	for _, used := range []bool{false, true} {
		path := makeDB(t, "x.db", fmt.Sprintf("PRAGMA page_size=%d; %s", pageSize, rows))
		db, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		pages := len(db) / pageSize
		root, leaf := db[pageSize:2*pageSize], slices.Clone(db[2*pageSize:3*pageSize])
		if root[0] != byte(sqlitefile.TableInterior) || leaf[0] != byte(sqlitefile.TableLeaf) {
			t.Fatalf("page types %d and %d", root[0], leaf[0])
		}
		// Page 3 moves to the lock-byte page or the one behind it; everything between
		// is free, listed on trunk pages as SQLite does it.
		to := uint32(lockPage + 1)
		if used {
			to = lockPage
		}
		sparse := newSparse(t, path, pageSize, lockPage+1)
		sparse.relink(root, 3, to)
		sparse.write(2, root)
		sparse.write(to, leaf)
		free := []uint32{3}
		for n := uint32(pages + 1); n <= lockPage+1; n++ {
			if n != lockPage && n != to {
				free = append(free, n)
			}
		}
		sparse.finish(db[:pageSize], free)
		rep, err := Check(t.Context(), path, Options{})
		if err != nil {
			t.Fatal(err)
		}
		if used != rep.Damaged() || !used && len(rep.Findings) > 0 {
			t.Errorf("in use %v: %s %v", used, rep.Verdict, rep.Findings)
		}
		if used && rep.Findings[0].Code != CodePageNumber && rep.Findings[0].Code != CodePageMultiplyReferenced {
			t.Errorf("in use: %v", rep.Findings)
		}
	}
}
