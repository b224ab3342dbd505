package main

import "github.com/rogpeppe/go-internal/testscript"

func signalCmd(ts *testscript.TestScript, neg bool, args []string) { ts.Fatalf("not here") }
