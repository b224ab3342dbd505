// Package progress is how an operation reports what it does on its way: its phases with their bytes, what is worth a
// look, and the points at which a test kills it.
package progress

// Phase names a part of an operation.
type Phase string

// The phases.
const (
	Check    Phase = "check"     // an integrity check
	Spool    Phase = "spool"     // the image is copied to a private file
	Compress Phase = "compress"  // the archive is written
	ReadBack Phase = "read back" // the stored bytes are proven
	Prove    Phase = "prove"     // a backup is proven before a restore
	Unpack   Phase = "unpack"    // the image is written to a file
	Repair   Phase = "repair"    // a copy of the database is made whole
	Write    Phase = "write"     // the image is written into the live database
	Commit   Phase = "commit"    // from here on cancelling has no effect
	Send     Phase = "send"      // copies go to a remote
)

// Reporter hears what one operation does.
type Reporter interface {
	// Phase begins a phase of that many bytes. The function that it returns hears how many are done.
	Phase(p Phase, total int64) (done func(int64))
	Warn(Warning)
	// Point is reached between two steps that cannot be taken back.
	Point(name string)
}

// Warning is worth a look, and does not end the operation.
type Warning struct {
	Backup  string // id, "" for that of the operation
	Path    string
	Err     error
	Message string
}
