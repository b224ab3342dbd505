package main

import (
	"fmt"
	"io/fs"
	"os"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"example.com/snapd/internal/livedb"
	"example.com/snapd/internal/message"
	"example.com/snapd/internal/trust"
	"example.com/snapd/snapshot"
)

// chooseUser decides, for root, with whose rights to files the program works on the database
// of --db. Where a user could exchange the database or the backups for other files, or for
// links to some, it is with that user's: what such an exchange reaches is then no more than
// the user could reach alone. Where the members of a group could, it is with those of the database's owner.
// Where there are several owners, or everyone can write, nothing is changed here, and
// snapshot.Open refuses. --user decides otherwise.
func (a *app) chooseUser() error {
	if os.Geteuid() != 0 {
		return nil
	}
	if err := a.checkConfig(); err != nil || a.DB == "" {
		return err
	}
	if a.User != "" {
		u, err := lookUp(a.User)
		if err != nil {
			return &usageError{fmt.Sprintf("--user %s: %v", a.User, err), "give a name or a number"}
		}
		if u.uid == 0 {
			return nil // see open
		}
		return a.actAs(u)
	}
	paths := a.places()
	for _, path := range paths {
		other, err := trust.Find(path, 0)
		if err != nil {
			return nil // what cannot be looked at is reported by opening it
		}
		if other == nil || other.UID == trust.Anyone {
			continue
		}
		if other.UID == trust.Members {
			if other.UID = a.databaseOwner(); other.UID == 0 {
				return nil
			}
		}
		for _, path := range paths {
			if another, err := trust.Find(path, other.UID); err != nil || another != nil {
				return nil
			}
		}
		return a.actAs(owner(other))
	}
	return nil
}

// checkConfig refuses, for root, a configuration that another user could change: it says on
// which files root works, and as whom. --user on the command line decides otherwise.
func (a *app) checkConfig() error {
	path := string(a.Config)
	if path == "" || slices.ContainsFunc(a.args, func(arg string) bool { return strings.HasPrefix(arg, "--user") }) {
		return nil
	}
	other, err := trust.FindWriter(path, 0)
	if err != nil {
		return fmt.Errorf("configuration: %w", err)
	}
	if other != nil {
		return message.WithHint(fmt.Errorf("%w: as root, the configuration %s is not safe to use: %s", snapshot.ErrRefused, path, other),
			"give it to root with chown and chmod 644, in a directory of root's; or run snapd as that user; or say with --user whose rights to files are used")
	}
	return nil
}

// databaseOwner is the user that the database belongs to, 0 where that is not known.
func (a *app) databaseOwner() int {
	info, err := os.Lstat(a.DB)
	if err != nil {
		return 0
	}
	uid, _ := trust.OwnerOf(info)
	return uid
}

// places are the paths of the database and, for the directory itself, of a file in the backup directory.
func (a *app) places() []string {
	paths := []string{a.DB}
	dir := a.Dir
	if real, err := livedb.Resolve(a.DB); err == nil {
		paths = append(paths, real)
		if dir == "" {
			dir = filepath.Join(filepath.Dir(real), "backups")
		}
	}
	if dir != "" {
		paths = append(paths, filepath.Join(dir, "x"))
	}
	return paths
}

// rights are those of a user to files.
type rights struct {
	uid, gid int
	groups   []int
	name     string
}

// lookUp finds a user by name or number.
func lookUp(name string) (rights, error) {
	u, err := user.Lookup(name)
	if err != nil {
		number, perr := strconv.Atoi(name)
		if perr != nil || number < 0 {
			return rights{}, err
		}
		if u, err = user.LookupId(name); err != nil { // a container has no names for its users
			return rights{uid: number, gid: number, groups: []int{}, name: "user " + name}, nil
		}
	}
	r := rights{name: u.Username}
	if r.uid, err = strconv.Atoi(u.Uid); err != nil {
		return r, err
	}
	if r.gid, err = strconv.Atoi(u.Gid); err != nil {
		return r, err
	}
	r.groups = []int{r.gid}
	ids, err := u.GroupIds()
	if err != nil {
		return r, nil // those of its own group are rights enough
	}
	r.groups = nil
	for _, id := range ids {
		if n, err := strconv.Atoi(id); err == nil {
			r.groups = append(r.groups, n)
		}
	}
	return r, nil
}

// owner has the rights of the user whose a directory or link is, and of its group.
func owner(s *trust.Stranger) rights {
	r, err := lookUp(strconv.Itoa(s.UID))
	if err != nil || r.gid == r.uid && len(r.groups) == 0 {
		r = rights{uid: s.UID, gid: s.GID, name: fmt.Sprintf("user %d", s.UID)}
	}
	if !slices.Contains(r.groups, s.GID) {
		r.groups = append(r.groups, s.GID)
	}
	return r
}

// chown is the command that gives the user what is there of the database and its backups.
func (a *app) chown(u rights) string {
	command := fmt.Sprintf("chown -R %d:%d", u.uid, u.gid)
	have := map[string]bool{}
	for _, path := range a.places() {
		all := []string{path, path + "-wal", path + "-shm", path + "-journal"}
		if filepath.Base(path) == "x" {
			all = []string{filepath.Dir(path)}
		}
		for _, path := range all {
			same, err := filepath.Abs(path)
			if _, lerr := os.Lstat(path); err == nil && lerr == nil && !have[same] {
				have[same] = true
				command += " " + shellQuote(path)
			}
		}
	}
	return command
}

// actAs works with another user's rights to files from now on. Files of root's, left by an
// earlier run as root, would be out of reach: that is said before anything is done.
func (a *app) actAs(u rights) error {
	way := fmt.Sprintf("%s gives them to %s, with whose rights snapd then works (in a container also: docker run --user %d:%d); or, where you trust %s, add --user root to this command",
		a.chown(u), u.name, u.uid, u.gid, u.name)
	for _, path := range a.places() {
		if filepath.Base(path) == "x" {
			path = filepath.Dir(path)
		}
		if info, err := os.Lstat(path); err == nil && info.Mode()&fs.ModeSymlink == 0 {
			if uid, known := trust.OwnerOf(info); known && uid == 0 && info.Mode().Perm()&0o002 == 0 {
				return message.WithHint(fmt.Errorf("%w: %s belongs to root, but %s could put something else in its place", snapshot.ErrRefused, path, u.name), way)
			}
		}
	}
	if err := trust.ActAs(u.uid, u.gid, u.groups); err != nil {
		return message.WithHint(fmt.Errorf("%w: %s could exchange the database or the backups, and %w", snapshot.ErrRefused, u.name, err), way)
	}
	a.log.Debug("working with the rights of the owner of the database's directory", "user", u.name)
	return nil
}
