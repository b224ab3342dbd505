package activity

import (
	"crypto/rand"
	"os"
	"strconv"
	"strings"
)

// thisProcess names this process: its id, and a word that no other process has which
// gets the same id later, as in a container that starts again.
var thisProcess = strconv.Itoa(os.Getpid()) + " " + rand.Text()

// isRunning reports whether there is the process with that name, or one with its id.
func isRunning(process string) bool {
	if process == thisProcess {
		return true
	}
	id, _, _ := strings.Cut(process, " ")
	pid, err := strconv.Atoi(id)
	return err == nil && pid > 0 && pid != os.Getpid() && isAlive(pid)
}
