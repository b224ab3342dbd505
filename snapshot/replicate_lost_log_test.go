package snapshot_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"example.com/snapd/snapshot"
)

// Lost: what is captured from then on, at the remote, when the change log is removed under a service: its numbers begin again.
func TestChangeLogIsRemovedUnderAServiceWithARemote(t *testing.T) {
	t.Parallel()
	_, url := place(t)
	c := newCounted(t, "wal", func(cfg *snapshot.Config) { cfg.Remotes = []snapshot.Remote{{Name: "nas", URL: url}} })
	stop := c.running()
	c.sent("nas")
	for range 3 {
		c.commit(1)
		c.captures()
	}
	if _, err := c.m.SyncRemote(t.Context(), "nas"); err != nil {
		t.Fatal(err)
	}
	if err := os.RemoveAll(filepath.Join(c.m.Dir(), "changes", "1")); err != nil {
		t.Fatal(err)
	}
	c.commit(1)
	if p := c.captures(); !strings.HasPrefix(p, "2.") {
		t.Errorf("%s is given a second time", p)
	}
	if _, err := c.m.SyncRemote(t.Context(), "nas"); err != nil {
		t.Error(err)
	}
	if err := stop(); err != nil {
		t.Fatal(err)
	}
}
