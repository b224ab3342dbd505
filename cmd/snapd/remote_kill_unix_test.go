//go:build unix

package main

import (
	"bytes"
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/minio/minio-go/v7"

	"example.com/snapd/internal/durable"
	"example.com/snapd/internal/store/storetest"
)

// killed is a machine whose processes are killed at requests to real object storage.
type killed struct {
	t       *testing.T
	dir     string
	program string
	gateway *storetest.Gateway
	proxy   *storetest.Proxy
	bucket  string
	env     []string
}

func (k *killed) command(args ...string) *exec.Cmd {
	cmd := exec.CommandContext(k.t.Context(), k.program, args...)
	cmd.Dir, cmd.Env = k.dir, k.env
	return cmd
}

func (k *killed) does(args ...string) []byte {
	k.t.Helper()
	cmd := k.command(args...)
	var errs bytes.Buffer
	cmd.Stderr = &errs
	out, err := cmd.Output()
	if err != nil {
		k.t.Fatalf("snapd %q: %v: %s", args, err, &errs)
	}
	return out
}

// dies runs a command until a request for which at returns true, which kills it; then that request meets the fault.
func (k *killed) dies(at func(*http.Request) bool, fault storetest.Fault, args ...string) {
	k.t.Helper()
	cmd := k.command(args...)
	dead := false
	k.proxy.Spoil(func(r *http.Request) storetest.Fault { // with the proxy's lock
		if dead || !at(r) {
			return storetest.Fault{}
		}
		dead = true
		_ = cmd.Process.Kill()
		return fault
	})
	var errs bytes.Buffer
	cmd.Stderr = &errs
	err := cmd.Run()
	k.proxy.Spoil(nil)
	if !dead || err == nil {
		k.t.Fatalf("snapd %q was not killed: %v: %s", args, err, &errs)
	}
}

// archives are the backups here, by the beginning of their objects' names.
func (k *killed) archives() map[string][]byte {
	k.t.Helper()
	var doc backupsDocument
	if err := json.Unmarshal(k.does("list", "--config", "c.toml", "--json"), &doc); err != nil {
		k.t.Fatal(err)
	}
	all := map[string][]byte{}
	for _, b := range doc.Backups {
		data, err := os.ReadFile(filepath.Join(k.dir, "backups", b.File))
		if err != nil {
			k.t.Fatal(err)
		}
		all[fmt.Sprintf("crm/backups/%09d_%s.db.zst", b.Seq, b.ID)] = data
	}
	return all
}

// there are the backups in the object storage. Each has to be what is here: none is half there under its name.
func (k *killed) there(where string) (names []string) {
	k.t.Helper()
	here, core := k.archives(), k.gateway.Client(k.t)
	for o := range core.Client.ListObjects(context.Background(), k.bucket, minio.ListObjectsOptions{Prefix: "crm/backups/", Recursive: true}) {
		if o.Err != nil {
			k.t.Fatal(o.Err)
		}
		r, err := core.Client.GetObject(context.Background(), k.bucket, o.Key, minio.GetObjectOptions{})
		if err != nil {
			k.t.Fatal(err)
		}
		data, err := io.ReadAll(r)
		if err != nil || !bytes.Equal(data, here[o.Key]) {
			k.t.Errorf("%s: %s has %d bytes there and %d here, %v", where, o.Key, len(data), len(here[o.Key]), err)
		}
		names = append(names, o.Key)
	}
	return names
}

// newMachine is one with a database that makes an archive of two parts, and a remote that keeps one backup.
func newMachine(t *testing.T) *killed {
	t.Helper()
	program, err := exec.LookPath("snapd")
	if err != nil {
		t.Fatal(err)
	}
	k := &killed{t: t, dir: t.TempDir(), program: program, gateway: storetest.StartGateway(t)}
	k.proxy = storetest.StartProxy(t, k.gateway.Address)
	url := k.gateway.URL(t, k.proxy.Address)
	k.bucket, _, _ = strings.Cut(strings.TrimPrefix(url, "s3://"), "/")
	for _, name := range []string{"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_EC2_METADATA_DISABLED", "AWS_SHARED_CREDENTIALS_FILE"} {
		k.env = append(k.env, name+"="+storetest.Env(name))
	}
	k.env = append(os.Environ(), k.env...)
	k.sql("CREATE TABLE t(x); WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n WHERE i < 20) INSERT INTO t SELECT randomblob(1<<20) FROM n")
	config := fmt.Sprintf("db = \"data.db\"\nlisten = \"none\"\ncontinuous = \"off\"\n[[remote]]\nname = \"s3\"\nurl = %q\nkeep = 1\nkeep_daily = 0\n", url)
	if err := os.WriteFile(filepath.Join(k.dir, "c.toml"), []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	return k
}

func (k *killed) sql(statement string) {
	k.t.Helper()
	db, err := sql.Open("sqlite", filepath.Join(k.dir, "data.db"))
	if err != nil {
		k.t.Fatal(err)
	}
	defer db.Close()
	if _, err := db.Exec(statement); err != nil {
		k.t.Fatal(err)
	}
}

// sends runs a service until all is sent.
func (k *killed) sends() {
	k.t.Helper()
	serve := k.command("serve", "--config", "c.toml")
	k.proxy.Requests() // of before
	if err := serve.Start(); err != nil {
		k.t.Fatal(err)
	}
	asked := 0 // what a service before it had noted says "current", too
	for tick := time.NewTicker(50 * time.Millisecond); k.t.Context().Err() == nil; <-tick.C {
		asked += len(k.proxy.Requests())
		if asked > 0 && bytes.Contains(k.does("remote", "list", "--config", "c.toml", "--json"), []byte(`"state": "current"`)) {
			break
		}
	}
	_ = serve.Process.Signal(syscall.SIGTERM)
	if err := serve.Wait(); err != nil {
		k.t.Error(err)
	}
}

// Lost: a backup here, a copy there, or the remote for good, when the process is killed while it sends or removes.
func TestKilledWhileSending(t *testing.T) {
	k := newMachine(t)
	is := func(method, path, query string) func(*http.Request) bool {
		return func(r *http.Request) bool {
			return r.Method == method && strings.Contains(r.URL.Path, path) && strings.Contains(r.URL.RawQuery, query)
		}
	}
	for _, at := range []struct {
		what  string
		at    func(*http.Request) bool
		fault storetest.Fault
		done  bool // a backup is there
	}{
		{"its note is not stored", is("PUT", "/writers/", ""), storetest.Fault{Reset: true}, false},
		{"a part is stored", is("PUT", "/backups/", "partNumber=1"), storetest.Fault{Lose: true}, false},
		{"the object is not completed", is("POST", "/backups/", "uploadId="), storetest.Fault{Reset: true}, false},
		{"the object is completed, and not noted", is("POST", "/backups/", "uploadId="), storetest.Fault{Lose: true}, true},
		{"the old one is not removed", is("DELETE", "/backups/", ""), storetest.Fault{Reset: true}, true},
		{"the old one is removed, and that is not noted", is("DELETE", "/backups/", ""), storetest.Fault{Lose: true}, true},
		{"the catalog is stored, and not noted", is("PUT", "/catalog/", ""), storetest.Fault{Lose: true}, true},
	} {
		k.sql("UPDATE t SET x = randomblob(1<<20) WHERE rowid = 1")
		k.does("backup", "--auto", "--config", "c.toml")
		k.dies(at.at, at.fault, "serve", "--config", "c.toml")
		if there := k.there(at.what); len(there) == 0 && at.done {
			t.Errorf("%s: nothing is there", at.what)
		}
	}
	k.sends()
	all := k.archives()
	newest := slices.Max(slices.Collect(func(yield func(string) bool) {
		for name := range all {
			if !yield(name) {
				return
			}
		}
	}))
	if got := k.there("at the end"); len(got) != 1 || got[0] != newest {
		t.Errorf("%q is there, want %q", got, newest)
	}
	uploads, err := k.gateway.Client(t).ListMultipartUploads(context.Background(), k.bucket, "crm/", "", "", "", 100)
	if err != nil || len(uploads.Uploads) > 2 { // of two that were replaced by newer ones before they were sent; removed after a week
		t.Errorf("%d uploads are left, %v", len(uploads.Uploads), err)
	}
	k.does("verify", "--all", "--config", "c.toml")
	k.does("remote", "verify", "--read-back", "--config", "c.toml")
}

// Lost: the trust in a file that has the right name and half of the rows, or the time, when a restore is killed.
func TestKilledWhileRestoring(t *testing.T) {
	k := newMachine(t)
	k.does("backup", "--auto", "--config", "c.toml")
	k.sends()
	url := fmt.Sprintf("s3://%s/crm?endpoint=http://%s&region=us-east-1", k.bucket, k.proxy.Address)
	args := []string{"restore", "--from", url, "--to", "out.db"}
	for _, nth := range []int{1, 5, 3} { // the third one has less to fetch: what came before the second kill is there
		n := 0
		k.dies(func(r *http.Request) bool {
			if r.Method == http.MethodGet && strings.Contains(r.URL.Path, "/backups/") {
				n++
			}
			return n == nth
		}, storetest.Fault{Reset: true}, args...)
		if _, err := os.Lstat(filepath.Join(k.dir, "out.db")); err == nil {
			t.Fatalf("killed at request %d there is a file", nth)
		}
	}
	if out := k.does(append(args, "--json")...); !bytes.Contains(out, []byte("cut short")) {
		t.Errorf("it began again: %s", out)
	}
	k.does("restore", "latest", "--config", "c.toml", "--to", "here.db")
	got, err := os.ReadFile(filepath.Join(k.dir, "out.db"))
	want, errHere := os.ReadFile(filepath.Join(k.dir, "here.db"))
	if err != nil || errHere != nil || !bytes.Equal(got, want) {
		t.Errorf("%d bytes, want %d: %v, %v", len(got), len(want), err, errHere)
	}
	left, err := filepath.Glob(filepath.Join(k.dir, durable.TempPrefix+"*"))
	if err != nil || len(left) > 0 {
		t.Errorf("left behind: %q, %v", left, err)
	}
}
