package browser

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"example.com/snapd/internal/store/seal"
	"example.com/snapd/snapshot"
)

// withRemotes has a disk that gets plain copies and one that gets sealed ones.
func withRemotes(t testing.TB) (nas string, with func(*site)) {
	key, err := seal.Generate(false)
	if err != nil {
		t.Fatal(err)
	}
	nas = filepath.Join(t.TempDir(), "nas")
	if err := os.Mkdir(nas, 0o700); err != nil {
		t.Fatal(err)
	}
	return nas, func(s *site) {
		s.config.Remotes = []snapshot.Remote{
			{Name: "nas", URL: "file://" + filepath.ToSlash(nas)},
			{Name: "vault", URL: "file://" + filepath.ToSlash(t.TempDir()), Recipients: []string{key.Recipient}},
		}
	}
}

func (s *site) sync(name string) {
	s.t.Helper()
	if _, err := s.manager.SyncRemote(s.t.Context(), name); err != nil {
		s.t.Fatal(err)
	}
}

// Lost: all of it with the machine, while the page says that it is protected.
func TestNothingIsOffTheMachine(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.manual("all is well")
	p := s.open(desktop)
	p.says(hook("remotes"), "on this machine only", "docs/remotes.md")
	p.accessible("without a remote")
}

// Lost: the one look at where copies are, how old, who can read them, and what is wrong.
func TestRemotesAreShown(t *testing.T) {
	t.Parallel()
	nas, with := withRemotes(t)
	s := newSite(t, with)
	s.manual("all is well")
	p := s.open(desktop)
	p.says(hook("remote-nas"), "nas", nas, "none yet", "not encrypted", "not yet")
	p.click(hook("sync-nas"))
	p.says(hook("outcome"), "everything is at nas")
	p.says(hook("remote-nas"), "everything is there", "just now", "1 backup", "stored")
	p.click(hook("sync-vault"))
	p.says(hook("remote-vault"), "everything is there", "for 1 key", "age1")
	p.says(hook("activity"), "sent copies off this machine")
	p.accessible("with remotes")
	p.fits(desktop)
	p.look(night)
	p.accessible("with remotes, narrow and dark")
	p.fits(night)
	p.look(desktop)

	if err := os.Rename(nas, nas+".away"); err != nil {
		t.Fatal(err)
	}
	p.tabTo(hook("sync-nas"), 60)
	p.press(" ")
	p.says(hook("outcome"), "failed", nas)
	p.says(hook("remote-nas"), "cannot be reached or used", "since", nas)
	p.accessible("with a remote that is gone")
}

// Lost: the alarm. Behind its period, a remote is red, the verdict names it, and one button sends.
func TestRemoteIsBehind(t *testing.T) {
	t.Parallel()
	nas, with := withRemotes(t)
	var c clock
	s := newSite(t, with, func(s *site) { s.config.Now = c.now })
	c.set(time.Now().Add(-3 * time.Hour))
	s.manual("not sent for three hours")
	c.right()
	p := s.open(desktop)
	p.says(hook("state-reason"), "remote nas", "is behind")
	p.says(hook("remote-nas"), "behind", "no copy came; 1 h at most", nas)
	p.accessible("with a remote that is behind")
	p.click(hook("state-action"))
	p.says(hook("remote-nas"), "everything is there")
	p.says(hook("remote-vault"), "everything is there")
	p.says(hook("state"), "protected")
}
