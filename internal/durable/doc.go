// Package durable is the one place where files are made to survive a crash: a
// temporary file next to its target, fsync, rename, fsync of the directory. It
// also recognises and sweeps what a crash left behind, and asks for free space
// before work begins.
//
// What a crash can leave is a file whose name starts with [TempPrefix], never
// a half-written target. On Windows directories cannot be fsynced; there the
// rename itself is written through.
package durable

// TempPrefix starts the name of every temporary file that this package makes.
// After it come the target's base name, a hyphen and sixteen random hex digits.
const TempPrefix = ".snapd-tmp-"
