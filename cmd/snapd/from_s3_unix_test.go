//go:build unix

package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"example.com/snapd/internal/store/storetest"
	"example.com/snapd/snapshot"
)

// asked adds up the bytes of backups that requests ask for.
func (k *killed) asked() (bytes func() int64) {
	var sum atomic.Int64
	k.proxy.Spoil(func(r *http.Request) storetest.Fault {
		var from, to int64
		if _, err := fmt.Sscanf(r.Header.Get("Range"), "bytes=%d-%d", &from, &to); err == nil && strings.Contains(r.URL.Path, "/backups/") {
			sum.Add(to + 1 - from)
		}
		return storetest.Fault{}
	})
	return sum.Load
}

// Lost: who needs to know what changed, on a machine that has nothing but the program, the key and the address of sealed copies.
func TestDiffAndLogOfCopiesInObjectStorage(t *testing.T) {
	k := newMachine(t)
	k.sql("PRAGMA journal_mode=wal; CREATE TABLE customer(id INTEGER PRIMARY KEY, name TEXT); INSERT INTO customer VALUES(4711, 'Ann'), (4712, 'Bo')")
	k.does("keygen", "-o", "key.txt")
	key, err := os.ReadFile(filepath.Join(k.dir, "key.txt"))
	if err != nil {
		t.Fatal(err)
	}
	_, public, _ := strings.Cut(string(key), "public key: ")
	public, _, _ = strings.Cut(public, "\n")
	url := fmt.Sprintf("s3://%s/crm?endpoint=http://%s&region=us-east-1", k.bucket, k.proxy.Address)
	config := fmt.Sprintf("db = \"data.db\"\nlisten = \"none\"\n[[remote]]\nname = \"s3\"\nurl = %q\nrecipients = [%q]\n", url, public)
	if err := os.WriteFile(filepath.Join(k.dir, "c.toml"), []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	k.does("backup", "--config", "c.toml")
	serve := k.command("serve", "--config", "c.toml")
	if err := serve.Start(); err != nil {
		t.Fatal(err)
	}
	away := []string{"--from", url, "--identity", "key.txt", "--json"}
	until := func(what string, args ...string) {
		t.Helper()
		for tick := time.NewTicker(50 * time.Millisecond); ; <-tick.C {
			if out, err := k.command(append(args, away...)...).Output(); err == nil && bytes.Contains(out, []byte(what)) {
				return
			}
			if t.Context().Err() != nil {
				t.Fatal(t.Context().Err())
			}
		}
	}
	k.sql("UPDATE customer SET name='Anna' WHERE id=4711")
	until(`"Anna"`, "log", "--row", "customer", "4711")
	k.sql("DELETE FROM customer WHERE id=4711")
	until(`"delete"`, "log", "--row", "customer", "4711")
	_ = serve.Process.Signal(syscall.SIGTERM) // the last backup is sent, too
	if err := serve.Wait(); err != nil {
		t.Fatal(err)
	}

	bare := *k
	bare.dir = t.TempDir()
	if err := os.WriteFile(filepath.Join(bare.dir, "key.txt"), key, 0o600); err != nil {
		t.Fatal(err)
	}
	var backups backupsDocument
	if err := json.Unmarshal(bare.does(append([]string{"list"}, away...)...), &backups); err != nil || len(backups.Backups) < 2 {
		t.Fatal(len(backups.Backups), err)
	}
	first := backups.Backups[len(backups.Backups)-1]
	for _, args := range [][]string{{"diff", first.ID, "latest", "--rows"}, {"log"}, {"log", "--since", "-1h"}, {"log", "--row", "customer", "4711"}} {
		bytesAsked := k.asked()
		there := bare.does(append(args, away...)...)
		if here := k.does(append(args, "--config", "c.toml", "--json")...); !bytes.Equal(there, here) {
			t.Errorf("%q: there %s\nhere %s", args, there, here)
		}
		if !bytes.Contains(there, []byte(`"Ann"`)) && len(args) == 4 && args[0] == "diff" {
			t.Errorf("%q does not have the row: %s", args, there)
		}
		if got, all := bytesAsked(), first.ArchiveBytes; got == 0 || got > 2*all { // of three archives, each begins with what is read ahead
			t.Errorf("%q asked for %d bytes of archives of %d", args, got, all)
		}
	}
	var d snapshot.DiffResult
	out := k.does("diff", first.ID, "live", "--from", url, "--identity", "key.txt", "--db", "data.db", "--json")
	if err := json.Unmarshal(out, &d); err != nil || len(d.Tables) != 1 || d.Tables[0].Removed != 1 {
		t.Errorf("against the live database: %s, %v", out, err)
	}
	left, err := filepath.Glob(filepath.Join(bare.dir, "*"))
	if err != nil || len(left) != 1 {
		t.Errorf("left behind: %q, %v", left, err)
	}
}
