package snapshot_test

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"example.com/snapd/internal/points"
	"example.com/snapd/internal/remote"
	"example.com/snapd/internal/store/seal"
	"example.com/snapd/internal/store/storetest"
	"example.com/snapd/snapshot"
)

// Lost: the database, with the machine. From the remote alone, and the key, every state is had that the machine had.
func TestEveryStateFromTheRemoteAlone(t *testing.T) {
	t.Parallel()
	for _, sealed := range []bool{false, true} {
		t.Run(fmt.Sprintf("sealed %v", sealed), func(t *testing.T) {
			t.Parallel()
			at, url := place(t)
			everyStateFrom(t, url, sealed, func() error { return os.RemoveAll(filepath.Join(at, "catalog")) })
		})
	}
}

// Lost: the same, where the remote is object storage.
func TestEveryStateFromObjectStorageAlone(t *testing.T) {
	gateway := storetest.StartGateway(t)
	for _, name := range []string{"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"} {
		t.Setenv(name, storetest.Env(name))
	}
	everyStateFrom(t, gateway.URL(t, gateway.Address), true, nil)
}

// everyStateFrom runs a service with a remote, and reads every state from there once its backup directory is gone. forget removes the
// catalog from the remote; nil cannot.
func everyStateFrom(t *testing.T, url string, sealed bool, forget func() error) {
	key, err := seal.Generate(false)
	if err != nil {
		t.Fatal(err)
	}
	to := snapshot.Remote{Name: "nas", URL: url}
	if sealed {
		to.Recipients = []string{key.Recipient}
	}
	c := newCounted(t, "wal", func(cfg *snapshot.Config) { cfg.Remotes = []snapshot.Remote{to} })
	stop := c.running()
	c.sent("nas")
	for range 3 {
		c.commit(2)
		c.captures()
	}
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	here, _, err := c.m.Points(t.Context(), snapshot.PointsQuery{})
	if err != nil {
		t.Fatal(err)
	}
	images := map[string][]byte{}
	var want []string
	for _, p := range here {
		file := filepath.Join(t.TempDir(), "here.db")
		if _, err := c.m.Restore(t.Context(), p.ID, snapshot.RestoreOptions{To: file}); err != nil {
			t.Fatal(err)
		}
		images[p.ID] = readFile(t, file)
		want = append(want, p.ID)
	}
	if len(want) < 4 {
		t.Fatalf("points are %q", want)
	}
	if err := os.RemoveAll(c.m.Dir()); err != nil {
		t.Fatal(err)
	}
	for _, without := range []string{"", "catalog"} {
		if without != "" && forget == nil {
			break
		}
		if without != "" {
			if err := forget(); err != nil {
				t.Fatal(err)
			}
		}
		r := readsRemote(t, url, key, sealed)
		there, _, err := r.Points(t.Context(), points.Query{})
		var got []string
		for _, p := range there {
			got = append(got, p.ID)
		}
		if err != nil || !slices.Equal(got, want) {
			t.Errorf("without %q: points there %q, %v; here %q", without, got, err, want)
		}
		for _, p := range there {
			i, err := r.Image(t.Context(), p)
			if err != nil {
				t.Errorf("without %q: %s: %v", without, p.ID, err)
				continue
			}
			file := filepath.Join(t.TempDir(), "there.db")
			if err := remote.Unpack(t.Context(), i, file, remote.UnpackOptions{}); err != nil {
				t.Errorf("without %q: %s: %v", without, p.ID, err)
			} else if !bytes.Equal(readFile(t, file), images[p.ID]) {
				t.Errorf("without %q: %s is another state there", without, p.ID)
			}
		}
	}
}

// readsRemote reads a remote as a machine that has nothing but its URL and the key.
func readsRemote(t *testing.T, url string, key seal.Key, sealed bool) *remote.Reader {
	t.Helper()
	o := remote.ReadOptions{Scratch: t.TempDir()}
	if sealed {
		file := filepath.Join(t.TempDir(), "key.txt")
		if err := os.WriteFile(file, []byte(key.Identity+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		var err error
		if o.Identities, err = seal.ReadIdentities(file); err != nil {
			t.Fatal(err)
		}
	}
	from, _, err := remote.OpenStore(t.Context(), url, "", nil)
	if err != nil {
		t.Fatal(err)
	}
	r, err := remote.NewReader(t.Context(), from, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.Close() })
	if len(r.Notes) > 0 || r.Database == "" {
		t.Errorf("of %q, notes %v", r.Database, r.Notes)
	}
	return r
}
