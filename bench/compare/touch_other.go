//go:build !linux

package main

// touch: nothing is known of other systems' free memory.
func touch(int64) error { return nil }
