package main

import "github.com/rogpeppe/go-internal/testscript"

func unprivileged(ts *testscript.TestScript, _ bool, _ []string) {
	ts.Fatalf("unprivileged: scripts for this system must stop before it")
}
