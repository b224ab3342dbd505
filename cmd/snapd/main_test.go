package main

import (
	"fmt"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"example.com/snapd/internal/testdb"
)

// TestMain makes this test binary the program itself when it is started as snapd,
// and the application that serve runs when it is started as sampleapp.
func TestMain(m *testing.M) {
	testscript.Main(testdb.InMemory(m), map[string]func(){"snapd": main, "sampleapp": sampleApp})
}

// canAct: root on Linux can have another user's rights to files; see actas_linux_test.go.
var canAct bool

// TestScripts are the promises of the command line: what is printed where, and
// with which exit status.
func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir:                "testdata",
		RequireUniqueNames: true,
		Setup: func(env *testscript.Env) error {
			env.Setenv("SNAPD_DB", "")
			env.Setenv("SNAPD_DIR", "")
			env.Setenv("TZ", "UTC")
			return nil
		},
		Condition: func(name string) (bool, error) {
			if name == "acts" {
				return canAct, nil
			}
			return false, fmt.Errorf("unknown condition %q", name)
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"exits":        exits,
			"json":         jsonCmd,
			"sql":          sqlCmd,
			"hold":         hold,
			"noise":        noise,
			"cut":          cut,
			"append":       appendTo,
			"slow":         slow,
			"junit":        junitCmd,
			"newer":        newer,
			"database":     database,
			"await":        await,
			"sigterm":      sigterm,
			"signal":       signalCmd,
			"logged":       logged,
			"address":      address,
			"http":         httpCmd,
			"http_until":   httpUntil,
			"stream":       stream,
			"occupy":       occupy,
			"certificate":  certificate,
			"until":        until,
			"unprivileged": unprivileged,
			"capture":      captureCmd,
			"receiver":     receiver,
		},
	})
}
