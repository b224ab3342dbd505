package remote

import (
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"sync"

	"example.com/snapd/catalog"
)

// Copies says of backups at which remotes copies of them are, and how those are proven. The ledgers know; they are read again
// when one has changed. It is safe for concurrent use.
type Copies struct {
	Dir string // the backup directory

	mu    sync.Mutex // guards what follows
	files []fs.FileInfo
	of    map[copied][]catalog.Copy
}

// copied is a backup that has copies. Of another directory one may have the same id.
type copied struct {
	id  string
	seq uint64
}

// Fill enters them into backups. Where the ledgers cannot be read none is known of, and the status says why.
func (c *Copies) Fill(backups []catalog.Entry) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if files := ledgerFiles(c.Dir); !slices.EqualFunc(files, c.files, sameFile) {
		all, _ := Ledgers(c.Dir)
		c.files, c.of = files, copiesOf(all)
	}
	for i := range backups {
		backups[i].Copies = c.of[copied{backups[i].ID, backups[i].Seq}]
	}
}

// ledgerFiles are the files that Ledgers reads. A ledger is replaced, never changed.
func ledgerFiles(dir string) (list []fs.FileInfo) {
	entries, _ := os.ReadDir(filepath.Join(dir, Dir)) // without it, there are none
	for _, e := range entries {
		if fi, err := e.Info(); err == nil && filepath.Ext(e.Name()) == ledgerExt {
			list = append(list, fi)
		}
	}
	return list
}

func sameFile(a, b fs.FileInfo) bool {
	return a.Name() == b.Name() && a.Size() == b.Size() && a.ModTime().Equal(b.ModTime()) && os.SameFile(a, b)
}

// copiesOf are the copies in ledgers, those of a backup in order of the remotes' names.
func copiesOf(ledgers []Ledger) map[copied][]catalog.Copy {
	of := map[copied][]catalog.Copy{}
	for _, l := range ledgers {
		for _, c := range l.Copies {
			n, ok := Parse(c.Name)
			if !ok || n.Kind != Backup {
				continue
			}
			now, key := c.state(l.Remote), copied{n.ID, n.Number}
			list := of[key]
			if last := len(list) - 1; last >= 0 && list[last].Remote == l.Remote { // sealed and open: the whole one counts
				if now.State != catalog.CopyFailed {
					list[last] = now
				}
				continue
			}
			of[key] = append(list, now)
		}
	}
	return of
}

// WithCaptures names the remotes that have sound copies of all captures of a timeline from one to another.
func WithCaptures(dir string, timeline, first, last uint64) (names []string) {
	all, _ := Ledgers(dir) // where one cannot be read none is known of
	for _, l := range all {
		next := first
		for grew := true; grew && next <= last; {
			grew = false
			for _, c := range l.Copies {
				n, ok := Parse(c.Name)
				if ok && n.Kind == Segment && n.Timeline == timeline && c.Damaged == "" && n.First <= next && next <= n.Last {
					next, grew = n.Last+1, true
				}
			}
		}
		if next > last {
			names = append(names, l.Remote)
		}
	}
	return names
}

// state is the copy as a backup has it.
func (c Copy) state(remote string) catalog.Copy {
	s := catalog.Copy{Remote: remote, State: catalog.CopyStored, At: c.At.UTC(), Proof: c.Checksum}
	switch {
	case c.Damaged != "":
		s.State, s.Proof = catalog.CopyFailed, ""
	case c.ReadBack != nil:
		s.State, s.At = catalog.CopyVerified, c.ReadBack.UTC()
	}
	return s
}
