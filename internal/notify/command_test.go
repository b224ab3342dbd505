//go:build unix

package notify

import (
	"context"
	"encoding/json"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// If this fails, a command does not get what happened, or its failure is not noticed.
func TestCommand(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "event")
	r := Receiver{Command: []string{"sh", "-c", `cat > "$1"; echo noise; echo noise >&2`, "sh", file}}
	if err := sendMessage(t.Context(), newClient(), r, sample.to(r), noon); err != nil {
		t.Fatal(err)
	}
	raw, err := os.ReadFile(file)
	var m Message
	if err == nil {
		err = json.Unmarshal(raw, &m)
	}
	if err != nil || m.ID != sample.ID || m.Detail != "" || !strings.HasSuffix(string(raw), "}\n") {
		t.Errorf("%v %s", err, raw)
	}
	for line, want := range map[string]string{"exit 3": "exit status 3", "exec 0<&-; exit 0": "", "kill -9 $$": "killed"} {
		err := runCommand(t.Context(), Receiver{Command: []string{"sh", "-c", line}}, sample)
		if (err == nil) != (want == "") || !strings.Contains(said(err, r), want) {
			t.Errorf("%s: %v", line, err)
		}
	}
	if err := runCommand(t.Context(), Receiver{Command: []string{filepath.Join(t.TempDir(), "none")}}, sample); err == nil || !strings.Contains(err.Error(), "could not be run") {
		t.Errorf("%v", err)
	}
}

// If this fails, a command that hangs outlives its time, or what it started does.
func TestCommandIsKilledWithItsGroup(t *testing.T) {
	t.Parallel()
	pipe := filepath.Join(t.TempDir(), "pipe")
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() {
		ended <- runCommand(ctx, Receiver{Command: []string{"sh", "-c", `exec 3>"$1"; sleep 1000 & echo up >&3; wait`, "sh", pipe}}, sample)
	}()
	f, err := os.Open(pipe) // once the command has opened it, too
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	up := make([]byte, 3)
	if _, err := io.ReadFull(f, up); err != nil {
		t.Fatal(err)
	}
	cancel() // as its time limit does
	if err := <-ended; err == nil {
		t.Error("no error")
	}
	if rest, err := io.ReadAll(f); err != nil || len(rest) > 0 { // the end comes once all of the group are gone
		t.Errorf("%q %v", rest, err)
	}
}
