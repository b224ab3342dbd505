package engine

import (
	"fmt"
	"reflect"

	"modernc.org/libc"
	sqlite3 "modernc.org/sqlite/lib"
)

// LimitDriver bounds a connection of database/sql's driver, for which the driver asks for a
// pool: values have at most that many bytes, and no database can be attached.
func LimitDriver(conn any, value int32) error {
	db := reflect.Indirect(reflect.ValueOf(conn))
	if db.Kind() == reflect.Struct {
		db = db.FieldByName("db")
	}
	if db.Kind() != reflect.Uintptr {
		return fmt.Errorf("limit values: the driver's connection is a %T", conn)
	}
	tls := libc.NewTLS()
	defer tls.Close()
	sqlite3.Xsqlite3_limit(tls, uintptr(db.Uint()), sqlite3.SQLITE_LIMIT_LENGTH, value)
	sqlite3.Xsqlite3_limit(tls, uintptr(db.Uint()), sqlite3.SQLITE_LIMIT_ATTACHED, 0)
	return nil
}
