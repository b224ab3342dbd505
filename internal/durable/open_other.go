//go:build !unix

package durable

// openPlain: pipes have no names among files there, and links need a right of their own.
const openPlain = 0
