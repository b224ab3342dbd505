package engine

import (
	"unsafe"

	"modernc.org/libc"
)

// Scalar is an SQL function as SQLite calls it (xSFunc), with argc values at argv.
type Scalar func(tls *libc.TLS, ctx uintptr, argc int32, argv uintptr)

// Address returns the function pointer that calls *f. The caller keeps f for as long as
// the engine may call it: Go does not see that it is in use.
func Address[F any](f *F) uintptr { return *(*uintptr)(unsafe.Pointer(f)) }

// function returns the function that a function pointer calls.
func function[F any](address uintptr) F { return *(*F)(unsafe.Pointer(&address)) }
