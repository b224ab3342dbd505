package livedb

// User is a process that has a database file open.
type User struct {
	PID     int
	Command string // its short name, "" when it could not be read
	Own     bool   // this process
}
