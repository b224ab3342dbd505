//go:build !windows

package testdb

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"example.com/snapd/internal/durable"
)

// PowerLoss is a model of a disk that keeps nothing but what was synced: the contents
// and the mode of a file as of its last fsync, the entries of a directory as of its own.
// It watches a directory and the ones below it, and notes at every step of package
// durable, what a loss of power in that instant could leave there.
//
// What SQLite does to the database by itself is not modelled: the files that own names
// count as synced whenever they are looked at, until package durable replaces them.
// This process opens none of them: closing one would take SQLite's locks away.
type PowerLoss struct {
	t      testing.TB
	root   string
	own    func(name string) bool
	intent string // how a file is called that has inode numbers in it
	stop   func() // the watching

	// Step, when not nil, is called after what a loss of power before a step would leave
	// was noted. It may never return.
	Step func(s durable.Step, path string)

	mu     sync.Mutex
	linked string                           // a directory with another link to each inode, see modelFile
	files  []*modelFile                     // every inode that was seen
	made   map[string]bool                  // the directories that are durable
	dirs   map[string]map[string]*modelFile // the entries of each directory that are durable
	seen   map[string]bool                  // fingerprints of the images
	images []Image
}

// modelFile is an inode. It has a second link until the test ends, so that its number is
// not used again. An open descriptor would do the same, and have a swap wait for it.
// SQLite's files and symbolic links have none, see forget.
type modelFile struct {
	info   fs.FileInfo
	second string // path of the second link, "" for a symbolic link and for SQLite's files
	link   string // where a symbolic link points to
	synced []byte
	mode   fs.FileMode // as of the last sync
	own    bool        // SQLite's: always as it is
	gone   bool        // no longer there
}

// Image is what a loss of power could leave.
type Image struct {
	Dir   string // stands for the directory that is watched
	Where string // the step before which it happened, and what was kept
}

// WatchPowerLoss begins with everything below root as it is, being durable. own names
// SQLite's files; intent is the suffix of files that have inode numbers in them.
func WatchPowerLoss(t testing.TB, root, intent string, own func(name string) bool) *PowerLoss {
	t.Helper()
	p := &PowerLoss{t: t, root: root, own: own, intent: intent, linked: t.TempDir(),
		made: map[string]bool{}, dirs: map[string]map[string]*modelFile{}, seen: map[string]bool{}}
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, dir := range p.directories() {
		p.made[dir], p.dirs[dir] = true, p.entries(dir)
		for _, f := range p.dirs[dir] {
			if !f.own {
				f.sync(t)
			}
		}
	}
	p.stop = durable.Observe(&durable.Observer{
		Before: func(s durable.Step, path string) {
			if p.inside(path) {
				p.Fail(fmt.Sprintf("before %s %s", s, p.name(path)))
				if p.Step != nil {
					p.Step(s, path)
				}
			}
		},
		Synced: func(s durable.Step, path string) {
			if p.inside(path) {
				p.synced(s, path)
			}
		},
	})
	t.Cleanup(p.stop)
	return p
}

// name is the path below the root, without what is random in it.
func (p *PowerLoss) name(path string) string {
	name := strings.TrimPrefix(path, p.root)
	if base := filepath.Base(name); strings.HasPrefix(base, durable.TempPrefix) && len(base) > 17 {
		return filepath.Dir(name) + "/" + base[:len(base)-17]
	}
	return name
}

func (p *PowerLoss) inside(path string) bool {
	return path == p.root || strings.HasPrefix(path, p.root+string(filepath.Separator))
}

// directories are those below root, root first.
func (p *PowerLoss) directories() (all []string) {
	err := filepath.WalkDir(p.root, func(path string, d fs.DirEntry, err error) error {
		if err == nil && d.IsDir() {
			all = append(all, path)
		}
		return nil // what vanishes meanwhile is not there
	})
	if err != nil {
		p.t.Errorf("power loss: %v", err)
	}
	return all
}

// entries are the files in dir as it is now.
func (p *PowerLoss) entries(dir string) map[string]*modelFile {
	found := map[string]*modelFile{}
	list, err := os.ReadDir(dir)
	if err != nil {
		p.t.Errorf("power loss: %v", err)
	}
	for _, e := range list {
		if e.IsDir() {
			continue
		}
		if f := p.file(filepath.Join(dir, e.Name())); f != nil {
			found[e.Name()] = f
		}
	}
	return found
}

// file is the inode at path, nil where there is none.
func (p *PowerLoss) file(path string) *modelFile {
	info, err := os.Lstat(path)
	if err != nil {
		return nil
	}
	for _, f := range p.files {
		if !f.gone && os.SameFile(f.info, info) {
			if f.own && (info.Size() != f.info.Size() || !info.ModTime().Equal(f.info.ModTime())) {
				f.synced = otherProcessReads(p.t, path)
			}
			f.info = info
			return f
		}
	}
	f := &modelFile{info: info, mode: 0o600, own: p.own(filepath.Base(path))}
	switch {
	case info.Mode()&fs.ModeSymlink != 0:
		f.link, err = os.Readlink(path)
	case f.own:
		f.synced = otherProcessReads(p.t, path)
	default:
		f.second = filepath.Join(p.linked, strconv.Itoa(len(p.files)))
		err = os.Link(path, f.second)
	}
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		p.t.Errorf("power loss: %v", err)
		return nil
	}
	p.files = append(p.files, f)
	return f
}

// sync makes the contents and the mode durable. The mode of SQLite's files always is.
func (f *modelFile) sync(t testing.TB) {
	if f.second == "" {
		return
	}
	info, err := os.Stat(f.second)
	if err != nil {
		t.Errorf("power loss: %v", err)
		return
	}
	f.mode = info.Mode().Perm()
	if f.synced, err = os.ReadFile(f.second); err != nil {
		t.Errorf("power loss: %v", err)
	}
}

// durableMode is the mode that a loss of power leaves.
func (f *modelFile) durableMode() fs.FileMode {
	if f.own {
		return f.info.Mode().Perm()
	}
	return f.mode
}

// otherProcessReads reads a file of SQLite's; one that has just gone is empty.
func otherProcessReads(t testing.TB, path string) []byte {
	data, err := exec.Command("cat", path).Output()
	if _, gone := os.Lstat(path); err != nil && gone == nil {
		t.Errorf("power loss: cat %s: %v", path, err)
	}
	return data
}

func (p *PowerLoss) synced(s durable.Step, path string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if s == durable.StepSyncDir {
		p.dirs[path] = p.entries(path)
		for _, dir := range p.directories() {
			p.made[dir] = p.made[dir] || filepath.Dir(dir) == path
		}
		return
	}
	if f := p.file(path); f != nil && !f.own {
		f.sync(p.t)
	}
}

// Fail notes what a loss of power now would leave: of the entries that were not synced,
// none, all, or a single one.
func (p *PowerLoss) Fail(where string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	none, all := map[string]map[string]*modelFile{}, map[string]map[string]*modelFile{}
	for _, dir := range p.directories() {
		all[dir] = p.entries(dir)
		if !p.durable(dir) {
			continue
		}
		none[dir] = p.dirs[dir]
		if none[dir] == nil {
			none[dir] = map[string]*modelFile{}
		}
	}
	p.forget(all)
	p.image(where+", nothing more kept", none)
	p.image(where+", all names kept", all)
	for dir := range none {
		for _, name := range changed(none[dir], all[dir]) {
			one := maps.Clone(none)
			one[dir] = maps.Clone(none[dir])
			keep(one[dir], all[dir], name)
			p.image(where+", only "+name+" kept", one)
		}
	}
}

// durable reports whether the directory and the ones that it is in are.
func (p *PowerLoss) durable(dir string) bool {
	for ; dir != p.root; dir = filepath.Dir(dir) {
		if !p.made[dir] {
			return false
		}
	}
	return true
}

// forget gives up the files without a second link that have no name any more: their inode
// numbers are used again.
func (p *PowerLoss) forget(now map[string]map[string]*modelFile) {
	named := map[*modelFile]bool{}
	for _, entries := range now {
		for _, f := range entries {
			named[f] = true
		}
	}
	for _, f := range p.files {
		f.gone = f.second == "" && !named[f]
	}
}

func changed(from, to map[string]*modelFile) (names []string) {
	for name := range to {
		if from[name] != to[name] {
			names = append(names, name)
		}
	}
	for name := range from {
		if to[name] == nil {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

// keep makes the change of one name. A file that was renamed has one of its names.
func keep(in, now map[string]*modelFile, name string) {
	old := in[name]
	if now[name] != nil {
		for other, f := range in {
			if f == now[name] && now[other] != f {
				delete(in, other)
			}
		}
		in[name] = now[name]
		return
	}
	for _, f := range now {
		if f == old {
			return // it went elsewhere: that is the change of the other name
		}
	}
	delete(in, name)
}

// image makes the directory, unless there is an equal one.
func (p *PowerLoss) image(where string, dirs map[string]map[string]*modelFile) {
	sum := sha256.New()
	type entry struct {
		path string
		f    *modelFile
		data []byte
	}
	var list []entry
	for _, dir := range slices.Sorted(maps.Keys(dirs)) {
		fmt.Fprintf(sum, "%s/\n", dir)
		for _, name := range slices.Sorted(maps.Keys(dirs[dir])) {
			f := dirs[dir][name]
			e := entry{strings.TrimPrefix(dir, p.root) + "/" + name, f, f.synced}
			list = append(list, e)
			part := sha256.Sum256(e.data)
			fmt.Fprintf(sum, "%s %s %v %x\n", e.path, f.link, f.durableMode(), part)
		}
	}
	key := hex.EncodeToString(sum.Sum(nil))
	if p.seen[key] {
		return
	}
	p.seen[key] = true
	to := filepath.Join(p.t.TempDir(), "left")
	moved := map[string]string{}    // inode numbers: a copy has others
	made := map[*modelFile]string{} // a file may have two names
	err := os.MkdirAll(to, 0o700)
	for dir := range dirs {
		err = errors.Join(err, os.MkdirAll(filepath.Join(to, strings.TrimPrefix(dir, p.root)), 0o700))
	}
	for _, e := range list {
		path := filepath.Join(to, filepath.FromSlash(e.path))
		if e.f.link != "" {
			err = errors.Join(err, os.Symlink(e.f.link, path))
			continue
		}
		if other := made[e.f]; other != "" {
			err = errors.Join(err, os.Link(other, path))
			continue
		}
		made[e.f] = path
		err = errors.Join(err, os.WriteFile(path, e.data, 0o600), os.Chmod(path, e.f.durableMode()), os.Chtimes(path, time.Time{}, e.f.info.ModTime()))
		if info, e2 := os.Lstat(path); e2 == nil {
			moved[number(e.f.info)] = number(info)
		}
	}
	for _, e := range list {
		if strings.HasSuffix(e.path, p.intent) {
			err = errors.Join(err, os.WriteFile(filepath.Join(to, filepath.FromSlash(e.path)), renumber(e.data, moved), 0o600))
		}
	}
	if err != nil {
		p.t.Errorf("power loss: %v", err)
	}
	p.images = append(p.images, Image{Dir: to, Where: where})
}

func number(info fs.FileInfo) string {
	return strconv.FormatUint(info.Sys().(*syscall.Stat_t).Ino, 10)
}

var inode = regexp.MustCompile(`"Ino":[0-9]+`)

// renumber gives what names inodes those of the copies.
func renumber(data []byte, moved map[string]string) []byte {
	return inode.ReplaceAllFunc(data, func(field []byte) []byte {
		if now, known := moved[string(field[len(`"Ino":`):])]; known {
			return []byte(`"Ino":` + now)
		}
		return field
	})
}

// End notes what a loss of power leaves after everything was done, though an earlier
// state was equal, and returns all states in order. Those begin with "done".
func (p *PowerLoss) End() []Image {
	p.stop()
	p.mu.Lock()
	clear(p.seen)
	p.mu.Unlock()
	p.Fail("done")
	return p.images
}
