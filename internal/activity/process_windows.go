package activity

import "os"

// isAlive reports whether there is a process with that id.
func isAlive(pid int) bool {
	p, err := os.FindProcess(pid) // opens it
	return err == nil && p.Release() == nil
}
