package livedb

// User is a process that has a database file open.
type User struct {
	PID     int
	Command string // its short name, "" when it could not be read
	Own     bool   // this process
}

// Usage says who has a database file open.
type Usage struct {
	Users []User // those that could be seen
	// Unseen: a process has it open for writing that could not be seen: it is in another
	// container, or another user's.
	Unseen bool
	// Unknown says why others may have it open, "" where it is known that none has.
	Unknown string
}

// InUse reports whether a process is known to have the file open.
func (u Usage) InUse() bool { return len(u.Users) > 0 || u.Unseen }
