// Package engine is what this module knows of the inside of SQLite as modernc.org/sqlite
// has it, and everything that is done with it by unsafe. SQLite is C turned into Go there:
// C's structures are Go structures in memory that is not Go's, C's pointers are of type
// uintptr, and C's function pointers are Go function values, or 0.
//
// It relies on, and engine_test.go names all of it:
//
//	driver.go     the connection of database/sql's driver has its sqlite3 in a field db
//	memory.go     addresses of the engine's memory can be read as Go's
//	function.go   a function pointer is a Go function value
//	program.go    the program of a statement: Vdbe, VdbeOp and, of functions, sqlite3_context
//	              and FuncDef; opcodes and their operands (https://www.sqlite.org/opcode.html)
//	readahead.go  the methods of an open file: sqlite3_file, sqlite3_io_methods; the numbers
//	              of the locks of read marks
//	snapshot.go   sqlite3_snapshot is the header of the log's index
//	vfs.go        a copy of the default sqlite3_vfs works as that does; xOpen sets a file's
//	              methods, and each call of a connection hands its TLS on to them
//
// A new version of modernc.org/sqlite needs the tests of this package, and the version of
// modernc.org/libc that its go.mod names.
package engine
