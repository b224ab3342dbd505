//go:build unix

package trust

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const (
	alice = 4001
	bob   = 4002
	team  = 5000
)

// Lost: a file of root's, or of another user's, that was put in the place of the one named.
func TestStrangers(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("NOT TESTED: only root can give files to other users")
	}
	base := t.TempDir()
	for _, dir := range []string{"top/sub", "alice/sub", "open", "sticky", "team", "team/sub", "stickyteam", "wheel"} {
		if err := os.MkdirAll(filepath.Join(base, dir), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	at := func(name string) string { return filepath.Join(base, name) }
	err := errors.Join(
		os.WriteFile(at("top/file"), nil, 0o600), os.WriteFile(at("top/hers"), nil, 0o600), os.Lchown(at("top/hers"), alice, alice),
		os.Lchown(at("alice"), alice, alice), // and what is in there is root's
		os.Chmod(at("open"), 0o777), os.Chmod(at("sticky"), 0o777|os.ModeSticky),
		os.Symlink("../top/file", at("alice/link")), os.Lchown(at("alice/link"), alice, alice),
		os.Symlink("file", at("top/link")), os.Symlink("../alice/sub", at("top/into")), os.Symlink("loop", at("top/loop")),
		os.Symlink(at("top"), at("sticky/rootslink")), os.Symlink(at("top"), at("sticky/bobslink")), os.Lchown(at("sticky/bobslink"), bob, bob),
		os.Symlink(".", at("top/dot")), os.Symlink("/", at("top/slash")),
		os.Chown(at("team"), 0, team), os.Chmod(at("team"), 0o770), os.Chown(at("stickyteam"), 0, team), os.Chmod(at("stickyteam"), 0o770|os.ModeSticky),
		os.Chmod(at("wheel"), 0o775),
		os.WriteFile(at("sticky/hers"), nil, 0o600), os.Lchown(at("sticky/hers"), alice, alice), os.WriteFile(at("stickyteam/hers"), nil, 0o600), os.Lchown(at("stickyteam/hers"), alice, alice))
	if err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct {
		path string
		uid  int
		want string // the stranger's text, without base; "" for none
	}{
		{"top/file", 0, ""},
		{"top/hers", 0, ""},         // she can write in it, not exchange it
		{"top/missing/file", 0, ""}, // would be made by root
		{"top/link", 0, ""},
		{"top/dot/file", 0, ""},
		{"top/slash", 0, ""},
		{"alice/file", 0, "alice belongs to user 4001"},
		{"alice/file", alice, ""},
		{"alice/file", bob, "alice belongs to user 4001"},
		{"alice/sub/file", 0, "alice belongs to user 4001"}, // sub is root's, but not its name
		{"alice/link", 0, "alice belongs to user 4001"},
		{"top/into/file", 0, "alice belongs to user 4001"},
		{"top/into/../../top/file", 0, "alice belongs to user 4001"}, // as the kernel goes there
		{"open/file", 0, "open can be written by every user"},
		{"open/file", alice, "open can be written by every user"},
		{"team/file", 0, "team can be written by group 5000"},
		{"team/sub/file", 0, "team can be written by group 5000"},
		{"team/file", alice, ""}, // most users have a group of their own
		{"stickyteam/file", 0, ""},
		{"wheel/file", 0, ""},
		{"sticky/file", 0, ""},
		{"sticky/hers", 0, "sticky/hers belongs to user 4001"}, // the owner of a file there can exchange it
		{"sticky/hers", bob, "sticky/hers belongs to user 4001"},
		{"sticky/hers", alice, ""},
		{"stickyteam/hers", 0, "stickyteam/hers belongs to user 4001"},
		{"sticky/rootslink/file", 0, ""},
		{"sticky/bobslink/file", 0, "sticky/bobslink belongs to user 4002"},
		{"sticky/bobslink/file", bob, ""},
	} {
		got := ""
		s, err := Find(base+"/"+tc.path, tc.uid)
		if s != nil {
			got = strings.TrimPrefix(s.String(), base+"/")
		}
		if err != nil || got != tc.want {
			t.Errorf("%s as %d: %q, %v; want %q", tc.path, tc.uid, got, err, tc.want)
		}
	}
	if s, err := Find(at("top/loop/file"), 0); err == nil {
		t.Errorf("a loop: %v", s)
	}
	t.Chdir(at("alice"))
	if s, err := Find("file", 0); err != nil || s == nil {
		t.Errorf("a relative path: %v, %v", s, err)
	}
}

// Lost: a file of root's, to a user who can write in it; or to one who put another in its place.
func TestWritersAndPlantedFiles(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("NOT TESTED: only root can give files to other users")
	}
	dir := t.TempDir()
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "file")
	for _, c := range []struct {
		dirMode, mode   os.FileMode
		dirOwner, owner int
		uid             int
		writer, planted bool
	}{
		{dirMode: 0o755, mode: 0o644},
		{dirMode: 0o755, mode: 0o666, writer: true},
		{dirMode: 0o755, mode: 0o644, owner: alice, writer: true},
		{dirMode: 0o755, mode: 0o644, owner: alice, uid: alice},
		{dirMode: 0o777, mode: 0o644, writer: true},
		{dirMode: 0o777, mode: 0o644, owner: alice, writer: true, planted: true},
		{dirMode: 0o777, mode: 0o644, owner: alice, uid: alice, writer: true},
		{dirMode: 0o777 | os.ModeSticky, mode: 0o644, owner: alice, dirOwner: bob, uid: bob, writer: true, planted: true},
		{dirMode: 0o777, mode: 0o644, owner: alice, dirOwner: alice, writer: true},
	} {
		_ = os.Remove(path)
		err := errors.Join(os.WriteFile(path, nil, 0o600), os.Chown(path, c.owner, 0), os.Chmod(path, c.mode), os.Chown(dir, c.dirOwner, 0), os.Chmod(dir, c.dirMode))
		if err != nil {
			t.Fatal(err)
		}
		s, err := FindWriter(path, c.uid)
		if err != nil || (s != nil) != c.writer {
			t.Errorf("%+v: %v, %v", c, s, err)
		}
		in, errDir := os.Stat(dir)
		file, errFile := os.Lstat(path)
		if err := errors.Join(errDir, errFile); err != nil {
			t.Fatal(err)
		}
		if Planted(in, file, c.uid) != c.planted {
			t.Errorf("%+v: planted %v", c, !c.planted)
		}
	}
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	if _, err := FindWriter(filepath.Join(dir, "missing"), alice); err == nil {
		t.Error("it is not known who can write in a file that is not there")
	}
}
