package swap_test

import (
	"encoding/binary"
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"example.com/snapd/internal/durable"
	"example.com/snapd/internal/swap"
)

const (
	nobody = 65534
	other  = 12345 // a user with no rights
)

// accessList is a POSIX access list (linux/posix_acl_xattr.h): a user of the name may do that much.
func accessList(named uint32, may, group, mask uint16) []byte {
	list := binary.LittleEndian.AppendUint32(nil, 2)
	for _, e := range []struct {
		tag, may uint16
		id       uint32
	}{{1, 6, ^uint32(0)}, {2, may, named}, {4, group, ^uint32(0)}, {0x10, mask, ^uint32(0)}, {0x20, 0, ^uint32(0)}} {
		list = binary.LittleEndian.AppendUint16(list, e.tag)
		list = binary.LittleEndian.AppendUint16(list, e.may)
		list = binary.LittleEndian.AppendUint32(list, e.id)
	}
	return list
}

func setAttr(t *testing.T, path, name string, value []byte) {
	t.Helper()
	if err := unix.Setxattr(path, name, value, 0); errors.Is(err, unix.ENOTSUP) {
		t.Skipf("NOT TESTED: no %s in %s", name, filepath.Dir(path))
	} else if err != nil {
		t.Fatal(err)
	}
}

// access is all that says who may use the file.
func access(t *testing.T, path string) swap.Access {
	t.Helper()
	a, err := swap.AccessOf(path)
	must(t, err)
	return a
}

// wantAccess wants what the file had.
func wantAccess(t *testing.T, path string, had swap.Access) {
	t.Helper()
	now := access(t, path)
	same := now.Mode == had.Mode && now.UID == had.UID && now.GID == had.GID && len(now.Attrs) == len(had.Attrs)
	for name, value := range had.Attrs {
		same = same && string(now.Attrs[name]) == string(value)
	}
	if !same {
		t.Errorf("access %+v, had %+v", now, had)
	}
}

// Lost: the access of the users that an access list names, given to the group instead; the
// file's labels; and, where the directory has a default list, privacy.
func TestKeepsAccessListAndAttributes(t *testing.T) {
	p := newPlace(t, files{"": "old"})
	setAttr(t, p.target.Database, "system.posix_acl_access", accessList(nobody, 6, 0, 6))
	setAttr(t, p.target.Database, "user.label", []byte("customers"))
	had := access(t, p.target.Database)
	res, err := p.run(t.Context())
	if err != nil || res.InPlace != "" {
		t.Fatalf("%+v, %v", res, err)
	}
	want(t, p.target.Database, files{"": newImage})
	wantAccess(t, p.target.Database, had)

	plain := newPlace(t, files{"": "old"})
	had = access(t, plain.target.Database)
	setAttr(t, filepath.Dir(plain.target.Database), "system.posix_acl_default", accessList(other, 6, 6, 6))
	_, err = plain.run(t.Context())
	must(t, err)
	wantAccess(t, plain.target.Database, had)
}

// Lost: the application's access to its own database, where root restores it.
func TestRootKeepsOwner(t *testing.T) {
	onlyRoot(t)
	p := newPlace(t, files{"": "old"})
	must(t, os.Chown(p.target.Database, nobody, other))
	had := access(t, p.target.Database)
	_, err := p.run(t.Context())
	must(t, err)
	wantAccess(t, p.target.Database, had)
}

// Lost: the same, where a user who may write the database is not its owner, and a new file
// would be that user's. It is written in place instead.
func TestKeepsAnotherUsersOwner(t *testing.T) {
	onlyRoot(t)
	for name, edit := range map[string]func(*swap.Swap){"saved": func(*swap.Swap) {}, "preserved": preserving} {
		t.Run(name, func(t *testing.T) {
			p := newPlace(t, files{"": "old"})
			must(t, os.Chown(p.target.Database, other, other))
			for _, path := range []string{filepath.Dir(p.target.Database), p.target.Dir, p.target.Database} {
				must(t, os.Chmod(path, 0o777))
			}
			for dir := filepath.Dir(filepath.Dir(p.target.Database)); dir != os.TempDir() && dir != "/"; dir = filepath.Dir(dir) {
				must(t, os.Chmod(dir, 0o755))
			}
			had := access(t, p.target.Database)
			asUser(t, nobody, func() {
				res, err := p.run(t.Context(), edit)
				if err != nil || !strings.Contains(res.InPlace, "owner 12345") {
					t.Errorf("%+v, %v", res, err)
				}
			})
			want(t, p.target.Database, files{"": newImage})
			wantAccess(t, p.target.Database, had)
			p.wantClean(t)
		})
	}
}

// A database that comes back has the access that is remembered of it.
func TestMissingGetsWhatIsRemembered(t *testing.T) {
	p := newPlace(t, nil)
	a := swap.Access{Mode: 0o660, UID: os.Getuid(), GID: os.Getgid()}
	if os.Geteuid() == 0 {
		a.UID, a.GID = nobody, other
	}
	_, err := p.run(t.Context(), func(s *swap.Swap) { s.Access = &a })
	must(t, err)
	wantAccess(t, p.target.Database, a)
}

// Lost: a file of root's, which becomes the user's, because it was put in the place of the staged
// one: as a link, or by another of its names.
func TestStagedNameIsNotFollowed(t *testing.T) {
	onlyRoot(t)
	for name, plant := range map[string]func(secret, path string) error{"link": os.Symlink, "name": os.Link} {
		for _, at := range []string{"before", "after the intent"} {
			t.Run(name+" "+at, func(t *testing.T) {
				p := newPlace(t, files{"": "old"})
				must(t, os.Chown(p.target.Database, nobody, nobody))
				secret := filepath.Join(filepath.Dir(p.target.Database), "secret")
				must(t, os.WriteFile(secret, []byte("root's"), 0o600))
				var staged *durable.File
				exchange := func() {
					must(t, os.Remove(staged.Name()))
					must(t, plant(secret, staged.Name()))
				}
				p.target.Observer.Point = func(point string) {
					if point == "preserved" && at != "before" {
						exchange()
					}
				}
				_, err := p.run(t.Context(), func(s *swap.Swap) {
					staged = s.Staged
					s.Unchanged = func() (bool, error) {
						if at == "before" {
							exchange()
						}
						return true, nil
					}
				})
				if !errors.Is(err, swap.ErrUnsafe) {
					t.Errorf("swapped: %v", err)
				}
				want(t, p.target.Database, files{"": "old"})
				st, err := os.Stat(secret)
				must(t, err)
				if sys := st.Sys().(*syscall.Stat_t); sys.Uid != 0 || st.Mode().Perm() != 0o600 {
					t.Errorf("root's file is now user %d's, with mode %v", sys.Uid, st.Mode())
				}
				if at == "before" {
					p.wantClean(t)
					return
				}
				if end, err := p.target.Finish(t.Context()); err != nil || end.Outcome != swap.Undone {
					t.Errorf("finish: %+v, %v", end, err)
				}
				want(t, p.target.Database, files{"": "old"})
			})
		}
	}
}

// Lost: another tenant's file, read by root into the quarantine, because it took the
// database's place after that was looked at.
func TestQuarantineKeepsTheFileThatWasSeen(t *testing.T) {
	onlyRoot(t)
	p := newPlace(t, files{"": "old"})
	secret := filepath.Join(filepath.Dir(p.target.Database), "secret")
	must(t, os.WriteFile(secret, []byte("another's"), 0o600))
	p.target.Observer.Point = func(point string) {
		if point == "report written" {
			must(t, os.Remove(p.target.Database))
			must(t, os.Symlink(secret, p.target.Database))
		}
	}
	if _, err := p.run(t.Context(), preserving); err == nil {
		t.Error("swapped")
	}
	kept, err := filepath.Glob(filepath.Join(p.target.Dir, "*.db"))
	if err != nil || len(kept) > 0 {
		t.Errorf("kept %q, %v", kept, err)
	}
	if raw, err := os.ReadFile(secret); err != nil || string(raw) != "another's" {
		t.Errorf("%q, %v", raw, err)
	}
}

// The other names of a database keep what was replaced, which is said.
func TestOtherNamesAreSaid(t *testing.T) {
	p := newPlace(t, files{"": "old"})
	second := p.target.Database + ".copy"
	must(t, os.Link(p.target.Database, second))
	if found, err := p.target.Concerns(); err != nil || len(found) != 1 || !strings.Contains(found[0], "1 more names") {
		t.Errorf("before %q, %v", found, err)
	}
	_, err := p.run(t.Context())
	must(t, err)
	if len(p.warned) != 1 || !strings.Contains(p.warned[0], "1 more names") {
		t.Errorf("warned %q", p.warned)
	}
}

func onlyRoot(t *testing.T) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("NOT TESTED: only root has other users' rights")
	}
}

// asUser runs fn with that user's rights to files.
func asUser(t *testing.T, uid int, fn func()) {
	t.Helper()
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	must(t, errors.Join(syscall.Setfsgid(uid), syscall.Setfsuid(uid)))
	defer func() { must(t, errors.Join(syscall.Setfsuid(0), syscall.Setfsgid(0))) }()
	fn()
}

// Lost: who may read the database. What cannot be given to the database's group belongs to another, which has no business
// with it: neither the journal of a writing in place, nor a file that comes back.
func TestGivesNothingToAnotherGroup(t *testing.T) {
	onlyRoot(t)
	for name, had := range map[string]files{"in place": {"": "old"}, "missing": nil, "missing, without a list": nil} {
		t.Run(name, func(t *testing.T) {
			p := newPlace(t, had)
			dir := filepath.Dir(p.target.Database)
			for _, path := range []string{dir, p.target.Dir} {
				must(t, os.Chmod(path, 0o777))
			}
			for up := filepath.Dir(dir); up != os.TempDir() && up != "/"; up = filepath.Dir(up) {
				must(t, os.Chmod(up, 0o755))
			}
			a := swap.Access{Mode: 0o660, UID: other, GID: other, Attrs: map[string][]byte{"system.posix_acl_access": accessList(nobody, 6, 6, 6)}}
			if strings.HasSuffix(name, "list") {
				a.Attrs = nil
			}
			if had != nil {
				must(t, os.Chown(p.target.Database, other, other))
				setAttr(t, p.target.Database, "system.posix_acl_access", a.Attrs["system.posix_acl_access"])
				must(t, os.Chmod(p.target.Database, 0o660))
			}
			looked := 0
			look := func(string) {
				for _, path := range globbed(t, dir) {
					var st unix.Stat_t
					must(t, unix.Lstat(path, &st))
					if st.Mode&unix.S_IFMT == unix.S_IFREG && st.Uid == nobody {
						looked++
						if may := groupMay(t, path, st.Mode); may != 0 {
							t.Errorf("%s: group %d may %o", filepath.Base(path), st.Gid, may)
						}
					}
				}
			}
			p.target.Observer.Point = look
			asUser(t, nobody, func() {
				_, err := p.run(t.Context(), func(s *swap.Swap) { s.Access = &a })
				must(t, err)
			})
			if look(""); looked == 0 {
				t.Error("nothing was looked at")
			}
		})
	}
}

// groupMay is what the group of the file at path may.
func groupMay(t *testing.T, path string, mode uint32) uint32 {
	t.Helper()
	list := make([]byte, 1<<10)
	n, err := unix.Getxattr(path, "system.posix_acl_access", list)
	if errors.Is(err, unix.ENODATA) {
		return mode >> 3 & 7
	}
	must(t, err)
	for e := 4; e+8 <= n; e += 8 {
		if binary.LittleEndian.Uint16(list[e:]) == 4 {
			return uint32(binary.LittleEndian.Uint16(list[e+2:]))
		}
	}
	return 0
}

func globbed(t *testing.T, dir string) (paths []string) {
	t.Helper()
	all, err := os.ReadDir(dir)
	must(t, err)
	for _, e := range all {
		if !strings.HasSuffix(e.Name(), "snapd-restore") {
			paths = append(paths, filepath.Join(dir, e.Name()))
		}
	}
	return paths
}
