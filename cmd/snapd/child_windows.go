package main

import (
	"os"
	"os/exec"
)

// passed is empty: these signals do not exist here.
var passed []os.Signal

func exitStatus(s *os.ProcessState) int { return s.ExitCode() }

// terminalReaches is true: a console signals every process attached to it, and there
// is no other way to interrupt one.
func terminalReaches(int) bool { return true }

// asBefore: the program never acts as another user here.
func asBefore(*exec.Cmd) {}
