package livedb

// FileSystem says who may write to a file system.
type FileSystem int

const (
	Local     FileSystem = iota
	UserSpace            // a program of this machine, for perhaps another one; or the host of a virtual machine
	Network              // other machines
)
