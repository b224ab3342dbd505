package engine

import "unsafe"

// PointerSize is the size of one of the engine's pointers in bytes.
const PointerSize = unsafe.Sizeof(uintptr(0))

// pointer turns an address of the engine's memory into a pointer.
func pointer(p uintptr) unsafe.Pointer { return *(*unsafe.Pointer)(unsafe.Pointer(&p)) }

// Bytes returns the n bytes at p, not copied: they are good for as long as the engine
// leaves them. It is nil where p is 0 or n not above 0.
func Bytes(p uintptr, n int) []byte {
	if p == 0 || n <= 0 {
		return nil
	}
	return unsafe.Slice((*byte)(pointer(p)), n)
}

// Pointer returns the engine's pointer that is stored at p.
func Pointer(p uintptr) uintptr { return *(*uintptr)(pointer(p)) }

// Pointers returns the n pointers that are stored from p on, not copied.
func Pointers(p uintptr, n int) []uintptr {
	if p == 0 || n <= 0 {
		return nil
	}
	return unsafe.Slice((*uintptr)(pointer(p)), n)
}

// Int returns the C int that is stored at p.
func Int(p uintptr) int32 { return *(*int32)(pointer(p)) }
