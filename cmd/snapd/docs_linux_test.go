package main

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"example.com/snapd/internal/testdb"
)

var (
	shellBlock = regexp.MustCompile("(?s)```sh\n(.*?)```")
	answered   = regexp.MustCompile(`(?m)^answered (\d+)$`)
)

// Readers of docs/http-api.md type its examples. If this fails, one of them does
// not do what it says.
func TestDocumentedRequests(t *testing.T) {
	for _, tool := range []string{"bash", "curl", "jq"} {
		testdb.RequireTool(t, tool)
	}
	text, err := os.ReadFile(filepath.Join("..", "..", "docs", "http-api.md"))
	if err != nil {
		t.Fatal(err)
	}
	path, _, _ := terminalDatabase(t)
	dir := filepath.Dir(path)
	base := serveInBackground(t, dir)
	// What was answered goes to standard error: the examples use the answers.
	script := `curl() { command curl -w '%{stderr}answered %{http_code}\n' "$@"; }` + "\n"
	for _, block := range shellBlock.FindAllSubmatch(text, -1) {
		script += string(block[1])
	}
	script = strings.ReplaceAll(script, "snapd serve --db data.db &\n", "")
	script = strings.ReplaceAll(script, "http://127.0.0.1:8321", base)
	cmd := exec.Command("bash", "-euo", "pipefail", "-c", script)
	cmd.Dir = dir
	var out, said bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &said
	if err := cmd.Run(); err != nil {
		t.Fatalf("%v\n%s\n%s", err, said.String(), out.String())
	}
	var refused []string
	all := answered.FindAllStringSubmatch(said.String(), -1)
	for _, a := range all {
		if a[1] >= "400" {
			refused = append(refused, a[1])
		}
	}
	// Those under Errors are.
	if len(all) < 20 || !slices.Equal(refused, []string{"401", "404"}) {
		t.Errorf("%d answers, refused with %v; want only 401 and 404\n%s", len(all), refused, out.String())
	}
}

// serveInBackground protects dir/data.db until the test ends, and returns where.
func serveInBackground(t *testing.T, dir string) (base string) {
	t.Helper()
	log, err := os.Create(filepath.Join(t.TempDir(), "serve.log"))
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("snapd", "--db", "data.db", "serve", "--listen", "127.0.0.1:0")
	cmd.Dir, cmd.Stderr = dir, log
	if err := errors.Join(cmd.Start(), log.Close()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := errors.Join(cmd.Process.Signal(syscall.SIGTERM), cmd.Wait()); err != nil {
			t.Error(err)
		}
	})
	var text []byte
	for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); time.Sleep(10 * time.Millisecond) {
		if text, err = os.ReadFile(log.Name()); err != nil {
			t.Fatal(err)
		}
		if found := pageAddress.FindSubmatch(text); found != nil {
			return string(found[1])
		}
	}
	t.Fatalf("serve has not said where its page is:\n%s", text)
	return ""
}

// An administrator types docs/disaster-recovery.md on the worst day. If this fails, a command there does not do what it says.
func TestDisasterRecoveryAsPrinted(t *testing.T) {
	for _, tool := range []string{"bash", "age", "zstd"} {
		testdb.RequireTool(t, tool)
	}
	text, err := os.ReadFile(filepath.Join("..", "..", "docs", "disaster-recovery.md"))
	if err != nil {
		t.Fatal(err)
	}
	path, _, _ := terminalDatabase(t)
	place, bare := t.TempDir(), t.TempDir()
	run := func(dir, script string) {
		t.Helper()
		cmd := exec.Command("bash", "-euo", "pipefail", "-c", script)
		cmd.Dir = dir
		cmd.Env = append(os.Environ(), "SNAPD_DB=", "SNAPD_DIR=", "PLACE="+place, "BARE="+bare)
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
	}
	run(filepath.Dir(path), `snapd keygen -o "$BARE/key.txt"
		snapd backup --db data.db -q
		mkdir "$PLACE/backups"
		n=0
		for f in backups/data_backup_*.db.zst; do
			n=$((n+1))
			age -r "$(sed -n 's/^# public key: //p' "$BARE/key.txt")" -o "$PLACE/backups/$(printf %09d $n)_$(basename "$f").age" "$f"
		done`)
	script := ""
	for _, block := range shellBlock.FindAllSubmatch(text, -1) {
		script += string(block[1])
	}
	script = strings.ReplaceAll(script, "/mnt/nas/crm", place)
	script = strings.ReplaceAll(script, "2026-01-31 14:30", time.Now().Add(time.Second).Format("2006-01-02 15:04:05"))
	run(bare, script+"cmp data.db plain.db; cmp data.db earlier.db; test -s new-key.txt")
}
