package catalogfile_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"

	"example.com/snapd/catalog"
	"example.com/snapd/internal/archive"
	"example.com/snapd/internal/catalogfile"
	"example.com/snapd/internal/testdb"
)

// The test binary runs itself again as other processes.
const childEnv = "CATALOG_TEST_CHILD"

func TestMain(m *testing.M) {
	if job := os.Getenv(childEnv); job != "" {
		if err := runChild(job, os.Args[1:]); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	os.Exit(testdb.InMemory(m).Run())
}

func child(t testing.TB, job string, args ...string) *exec.Cmd {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), os.Args[0], args...)
	cmd.Env = append(os.Environ(), childEnv+"="+job)
	cmd.Stderr = os.Stderr
	return cmd
}

func runChild(job string, args []string) error {
	c, err := catalogfile.Open(args[0], "data")
	if err != nil {
		return err
	}
	switch job {
	case "serve":
		if _, err := c.LockServe(context.Background()); err != nil {
			return err
		}
		fmt.Println("locked")
		_, err := io.Copy(io.Discard, os.Stdin) // until it is killed
		return err
	case "add":
		n, err := strconv.Atoi(args[2])
		if err != nil {
			return err
		}
		for i := range n {
			if err := addOne(c, fmt.Sprintf("%s%d", args[1], i)); err != nil {
				return err
			}
			fmt.Println(i)
		}
		return nil
	}
	return fmt.Errorf("no such job: %s", job)
}

func addOne(c *catalogfile.Catalog, id string) error {
	return c.Update(context.Background(), func(tx *catalogfile.Tx) error {
		return tx.Put(catalog.Entry{ID: id, File: id + archive.Ext, Seq: tx.NextSeq(), Kind: catalog.Auto})
	})
}

// Lost: backups, when cron's `backup` and the service write at the same time.
func TestProcessesAddConcurrently(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	const processes, each = 3, 40
	var running []*exec.Cmd
	for p := range processes {
		cmd := child(t, "add", dir, fmt.Sprintf("p%d-", p), fmt.Sprint(each))
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		running = append(running, cmd)
	}
	c := open(t, dir)
	for i := range each {
		if err := addOne(c, fmt.Sprint("here-", i)); err != nil {
			t.Error(err)
		}
	}
	for _, cmd := range running {
		if err := cmd.Wait(); err != nil {
			t.Error(err)
		}
	}
	list := entries(t, c)
	seen := make(map[uint64]bool)
	for i, e := range list {
		if seen[e.Seq] || i > 0 && e.Seq >= list[i-1].Seq {
			t.Fatalf("number %d given twice, or out of order", e.Seq)
		}
		seen[e.Seq] = true
	}
	if want := (processes + 1) * each; len(list) != want || list[0].Seq != uint64(want) {
		t.Fatalf("%d entries up to number %d, want %d of both", len(list), list[0].Seq, want)
	}
}

// Lost: the catalog, when the process dies while writing it. Every entry that
// was acknowledged is there, and the file is whole.
func TestKilledWriterLeavesOldOrNew(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for round := range 10 {
		prefix := fmt.Sprintf("r%d-", round)
		cmd := child(t, "add", dir, prefix, "100000")
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		acknowledged := -1
		for lines := bufio.NewScanner(out); lines.Scan(); {
			acknowledged, _ = strconv.Atoi(lines.Text())
			if acknowledged == 5+round {
				if err := cmd.Process.Kill(); err != nil {
					t.Fatal(err)
				}
			}
		}
		cmd.Wait() // its error is the kill
		c := open(t, dir)
		if ch := c.TakeChanges(); !ch.Empty() {
			t.Fatalf("round %d: the catalog was damaged: %v", round, ch.Lines())
		}
		n := 0
		for _, e := range entries(t, c) {
			if strings.HasPrefix(e.ID, prefix) {
				n++
			}
		}
		if n != acknowledged+1 && n != acknowledged+2 {
			t.Fatalf("round %d: %d entries after %d were acknowledged", round, n, acknowledged+1)
		}
	}
}
