package engine

import (
	"strings"
	"unsafe"

	"modernc.org/libc"
	sqlite3 "modernc.org/sqlite/lib"
)

// program returns the instructions of a prepared statement.
func program(stmt uintptr) []sqlite3.TVdbeOp {
	v := (*sqlite3.TVdbe)(pointer(stmt))
	return unsafe.Slice((*sqlite3.TVdbeOp)(pointer(v.FaOp)), v.FnOp)
}

// Work estimates what one pass through the program of a statement may keep and copy:
// the registers that it writes values of any size to, and how many such values it
// copies, a function counting as so many.
func Work(stmt uintptr, function int64) (registers int, copies int64) {
	written := make(map[int32]struct{})
	for _, op := range program(stmt) {
		switch op.Fopcode {
		case sqlite3.OP_Function, sqlite3.OP_PureFunc:
			copies += function
		case sqlite3.OP_Column:
			if op.Fp5&(sqlite3.OPFLAG_TYPEOFARG|sqlite3.OPFLAG_LENGTHARG) != 0 {
				continue // the value itself is not read
			}
			copies++
		case sqlite3.OP_Concat, sqlite3.OP_Cast:
			copies++
		default:
			continue
		}
		written[op.Fp3] = struct{}{}
	}
	return len(written), copies
}

// Function is the definition of an SQL function.
type Function struct {
	Call     Scalar
	UserData uintptr // what sqlite3_user_data gives it
	Flags    int32   // to register it again with
}

// FunctionIn returns the definition of the function of that name which a statement
// calls: the engine gives it in no other way. ok is false where it calls none.
func FunctionIn(stmt uintptr, name string) (f Function, ok bool) {
	for _, op := range program(stmt) {
		if op.Fp4type != sqlite3.P4_FUNCCTX {
			continue
		}
		call := (*sqlite3.Tsqlite3_context)(pointer(*(*uintptr)(unsafe.Pointer(&op.Fp4))))
		def := (*sqlite3.TFuncDef)(pointer(call.FpFunc))
		if !strings.EqualFold(libc.GoString(def.FzName), name) {
			continue
		}
		const kept = sqlite3.SQLITE_DETERMINISTIC | sqlite3.SQLITE_SUBTYPE | sqlite3.SQLITE_RESULT_SUBTYPE
		// SQLite keeps the INNOCUOUS bit inverted (SQLITE_FUNC_UNSAFE in sqliteInt.h).
		flags := int32(def.FfuncFlags&kept) | int32(^def.FfuncFlags&sqlite3.SQLITE_INNOCUOUS)
		return Function{function[Scalar](def.FxSFunc), def.FpUserData, flags}, true
	}
	return f, false
}
