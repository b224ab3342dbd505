package engine

import (
	"os"
	"path/filepath"
	"reflect"
	"testing"

	"modernc.org/libc"
	_ "modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"

	"example.com/snapd/internal/sqlitefile"
)

// relied names every structure, field and function of modernc.org/sqlite/lib that this
// package reaches into, and the file that does. What they mean is shown by the
// tests below.
var relied = []struct {
	file   string
	in     any
	fields map[string]reflect.Kind
}{
	{"readahead.go", sqlite3.Tsqlite3_file{}, map[string]reflect.Kind{"FpMethods": reflect.Uintptr}},
	{"readahead.go", sqlite3.Tsqlite3_io_methods{}, map[string]reflect.Kind{
		"FiVersion": reflect.Int32, "FxRead": reflect.Uintptr, "FxWrite": reflect.Uintptr, "FxTruncate": reflect.Uintptr,
		"FxLock": reflect.Uintptr, "FxUnlock": reflect.Uintptr, "FxShmLock": reflect.Uintptr,
	}},
	{"vfs.go", sqlite3.Tsqlite3_vfs{}, map[string]reflect.Kind{
		"FpNext": reflect.Uintptr, "FzName": reflect.Uintptr, "FxOpen": reflect.Uintptr, "FxAccess": reflect.Uintptr, "FxGetLastError": reflect.Uintptr,
	}},
	{"program.go", sqlite3.TVdbe{}, map[string]reflect.Kind{"FaOp": reflect.Uintptr, "FnOp": reflect.Int32}},
	{"program.go", sqlite3.TVdbeOp{}, map[string]reflect.Kind{
		"Fopcode": reflect.Uint8, "Fp3": reflect.Int32, "Fp4type": reflect.Int8, "Fp5": reflect.Uint16,
	}},
	{"program.go", sqlite3.Tsqlite3_context{}, map[string]reflect.Kind{"FpFunc": reflect.Uintptr}},
	{"program.go", sqlite3.TFuncDef{}, map[string]reflect.Kind{
		"FzName": reflect.Uintptr, "FfuncFlags": reflect.Uint32, "FxSFunc": reflect.Uintptr, "FpUserData": reflect.Uintptr,
	}},
}

// The functions that it calls, as they must be.
var (
	_ func(tls *libc.TLS, db, name uintptr, op int32, arg uintptr) int32 = sqlite3.Xsqlite3_file_control
	_ func(tls *libc.TLS, db, schema, snapshot uintptr) int32            = sqlite3.Xsqlite3_snapshot_get
	_ func(tls *libc.TLS, snapshot uintptr)                              = sqlite3.Xsqlite3_snapshot_free
	_ func(tls *libc.TLS, name uintptr) uintptr                          = sqlite3.Xsqlite3_vfs_find
	_ func(tls *libc.TLS, vfs uintptr, makeDefault int32) int32          = sqlite3.Xsqlite3_vfs_register
)

// A new version of modernc.org/sqlite that changes what this package relies on fails here
// first, by name.
func TestEngineHasWhatIsReliedOn(t *testing.T) {
	for _, r := range relied {
		typ := reflect.TypeOf(r.in)
		for name, kind := range r.fields {
			switch f, ok := typ.FieldByName(name); {
			case !ok:
				t.Errorf("%s relies on %s.%s, which is gone from SQLite %s: see internal/sqlite/engine/doc.go", r.file, typ.Name(), name, sqlite3.SQLITE_VERSION)
			case f.Type.Kind() != kind:
				t.Errorf("%s relies on %s.%s being %v, and in SQLite %s it is %v", r.file, typ.Name(), name, kind, sqlite3.SQLITE_VERSION, f.Type)
			}
		}
	}
	// The operand P4 is a C union, whose pointers are at its start.
	if p4, ok := reflect.TypeOf(sqlite3.TVdbeOp{}).FieldByName("Fp4"); !ok || p4.Type.Size() != PointerSize {
		t.Errorf("program.go relies on VdbeOp.p4 being one pointer: %v", p4.Type)
	}
}

// connection is a connection of the engine to a new database with a write-ahead log.
type connection struct {
	t    *testing.T
	tls  *libc.TLS
	db   uintptr
	path string
}

func connect(t *testing.T) *connection {
	t.Helper()
	c := &connection{t: t, tls: libc.NewTLS(), path: filepath.Join(t.TempDir(), "x.db")}
	name, out := c.text(c.path), libc.Xcalloc(c.tls, 1, libc.Tsize_t(PointerSize))
	if rc := sqlite3.Xsqlite3_open_v2(c.tls, name, out, sqlite3.SQLITE_OPEN_READWRITE|sqlite3.SQLITE_OPEN_CREATE, 0); rc != sqlite3.SQLITE_OK {
		t.Fatalf("open: %d", rc)
	}
	c.db = Pointer(out)
	libc.Xfree(c.tls, out)
	c.run("PRAGMA journal_mode=wal")
	c.run("PRAGMA wal_autocheckpoint=0")
	return c
}

// close closes the connection, and then what it read ahead with.
func (c *connection) close(a *ReadAhead) {
	if rc := sqlite3.Xsqlite3_close(c.tls, c.db); rc != sqlite3.SQLITE_OK {
		c.t.Errorf("close: %d", rc)
	}
	if a != nil {
		a.Free(c.tls)
	}
	c.tls.Close()
}

func (c *connection) text(s string) uintptr {
	c.t.Helper()
	p, err := libc.CString(s)
	if err != nil {
		c.t.Fatal(err)
	}
	c.t.Cleanup(func() { libc.Xfree(nil, p) })
	return p
}

func (c *connection) prepare(sql string) (stmt uintptr) {
	c.t.Helper()
	out := libc.Xcalloc(c.tls, 1, libc.Tsize_t(PointerSize))
	defer libc.Xfree(c.tls, out)
	if rc := sqlite3.Xsqlite3_prepare_v2(c.tls, c.db, c.text(sql), -1, out, 0); rc != sqlite3.SQLITE_OK {
		c.t.Fatalf("%s: %d", sql, rc)
	}
	return Pointer(out)
}

// run runs a statement and returns the first column of its last row, as an integer.
func (c *connection) run(sql string) (v int64) {
	c.t.Helper()
	stmt := c.prepare(sql)
	for sqlite3.Xsqlite3_step(c.tls, stmt) == sqlite3.SQLITE_ROW {
		v = int64(sqlite3.Xsqlite3_column_int64(c.tls, stmt, 0))
	}
	if rc := sqlite3.Xsqlite3_finalize(c.tls, stmt); rc != sqlite3.SQLITE_OK {
		c.t.Fatalf("%s: %d", sql, rc)
	}
	return v
}

// A function pointer is a Go function value: a function of ours can be registered, and
// one of the engine's called.
func TestFunctionPointers(t *testing.T) {
	c := connect(t)
	defer c.close(nil)
	calls := 0
	var ours Scalar = func(tls *libc.TLS, ctx uintptr, argc int32, argv uintptr) {
		calls += len(Pointers(argv, int(argc)))
		sqlite3.Xsqlite3_result_int(tls, ctx, 42)
	}
	if rc := sqlite3.Xsqlite3_create_function_v2(c.tls, c.db, c.text("ours"), 2, sqlite3.SQLITE_UTF8, 0, Address(&ours), 0, 0, 0); rc != sqlite3.SQLITE_OK {
		t.Fatal(rc)
	}
	if got := c.run("SELECT ours(1, 2)"); got != 42 || calls != 2 {
		t.Errorf("ours gives %d after %d arguments", got, calls)
	}
	stmt := c.prepare("SELECT instr(?1, ?2)")
	f, ok := FunctionIn(stmt, "INSTR")
	if !ok || f.Call == nil || f.Flags&sqlite3.SQLITE_DETERMINISTIC == 0 || f.Flags&sqlite3.SQLITE_INNOCUOUS == 0 {
		t.Fatalf("instr is %+v, %v", f, ok)
	}
	if _, ok := FunctionIn(stmt, "hex"); ok {
		t.Error("a function is found that is not called")
	}
	sqlite3.Xsqlite3_finalize(c.tls, stmt)
	if rc := sqlite3.Xsqlite3_create_function_v2(c.tls, c.db, c.text("theirs"), 2, sqlite3.SQLITE_UTF8|f.Flags, f.UserData, Address(&f.Call), 0, 0, 0); rc != sqlite3.SQLITE_OK {
		t.Fatal(rc)
	}
	if got := c.run("SELECT theirs('abc', 'c')"); got != 3 {
		t.Errorf("instr under another name gives %d", got)
	}
}

// The opcodes that a program's work is estimated by are those that the compiler uses.
func TestWorkOfPrograms(t *testing.T) {
	c := connect(t)
	defer c.close(nil)
	c.run("CREATE TABLE t(a, b, c)")
	for sql, want := range map[string]struct {
		registers int
		copies    int64
	}{
		"SELECT 1":                            {0, 0},
		"SELECT a FROM t":                     {1, 1},
		"SELECT a, b, c FROM t":               {3, 3},
		"SELECT length(a) FROM t":             {1, 100}, // the column's value is not read
		"SELECT hex(?1)":                      {1, 100},
		"SELECT ?1 || ?2":                     {1, 1},
		"SELECT CAST(?1 AS TEXT)":             {1, 1},
		"SELECT hex(a) || hex(b) FROM t":      {4, 203},
		"SELECT hex(hex(?1)), randomblob(?2)": {3, 300},
	} {
		stmt := c.prepare(sql)
		if registers, copies := Work(stmt, 100); registers != want.registers || copies != want.copies {
			t.Errorf("%s: %d registers and %d copies, want %d and %d", sql, registers, copies, want.registers, want.copies)
		}
		sqlite3.Xsqlite3_finalize(c.tls, stmt)
	}
}

// sqlite3_snapshot is the header of the index: it names the last frame of the log.
func TestSnapshotIsTheIndexHeader(t *testing.T) {
	c := connect(t)
	defer c.close(nil)
	c.run("CREATE TABLE t(a)")
	c.run("INSERT INTO t VALUES(zeroblob(100000))")
	c.run("BEGIN")
	c.run("SELECT count(*) FROM t")
	h, ok := IndexHeader(c.tls, c.db)
	log, err := os.ReadFile(sqlitefile.WAL(c.path))
	if err != nil {
		t.Fatal(err)
	}
	frames := int64(len(log)-sqlitefile.WALHeaderSize) / int64(sqlitefile.FrameHeaderSize+h.PageSize)
	if !ok || h.LastFrame != frames || h.Salts != [8]byte(log[16:24]) || int64(h.Pages) != c.run("PRAGMA page_count") {
		t.Errorf("%+v %v, and the log has %d frames", h, ok, frames)
	}
	c.run("COMMIT")
}

// The engine reads through the methods that are put before the file's own, and the locks
// of read marks have the numbers that wal.c gives them: mark 0 for a log that is wholly
// in the file, a later one else.
func TestMethodsAndReadMarks(t *testing.T) {
	c := connect(t)
	a, rc := Ahead(c.tls, c.db, &Reads{})
	if a == nil || rc != sqlite3.SQLITE_OK {
		t.Fatalf("%v, %d", a, rc)
	}
	defer c.close(a)
	c.run("CREATE TABLE t(a)")
	c.run("WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n WHERE i<300) INSERT INTO t SELECT hex(zeroblob(1500)) FROM n")
	for _, mode := range []struct {
		before string
		mark   func(int) bool
	}{
		{"PRAGMA wal_checkpoint(FULL)", func(m int) bool { return m == 0 }},
		{"INSERT INTO t VALUES('x')", func(m int) bool { return m > 0 }},
	} {
		c.run(mode.before)
		if a.Mark() != -1 {
			t.Errorf("%s: mark %d outside of a transaction", mode.before, a.Mark())
		}
		c.run("BEGIN")
		c.run("SELECT sum(length(a)) FROM t")
		if !mode.mark(a.Mark()) {
			t.Errorf("%s: mark %d", mode.before, a.Mark())
		}
		c.run("COMMIT")
	}
	c.run("PRAGMA cache_size=1")
	c.run("PRAGMA wal_checkpoint(TRUNCATE)")
	if c.run("SELECT sum(length(a)) FROM t"); a.to == 0 || a.block == 0 {
		t.Errorf("nothing was read through it, or nothing ahead: %d, %d", a.to, a.block)
	}
}
