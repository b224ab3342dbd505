package main

import (
	"os"
	"os/user"
	"strconv"

	"example.com/snapd/snapshot"
)

// caller is on whose behalf a command works; the services work by themselves.
func caller(c command) snapshot.Caller {
	switch c.(type) {
	case *serveCmd, *demoCmd:
		return snapshot.Caller{}
	}
	return snapshot.Caller{Who: person()}
}

// person is who works with the command line.
func person() string { return whoami() + " (command line)" }

// whoami is the user's name; a container may have none for its user.
func whoami() string {
	if u, err := user.Current(); err == nil && u.Username != "" {
		return u.Username
	}
	return "user " + strconv.Itoa(os.Getuid())
}
