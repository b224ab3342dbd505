package catalogfile

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"hash/maphash"
	"io"
	"io/fs"
	"iter"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"example.com/snapd/catalog"
)

// racyWindow is how long after a file's modification another one might still
// get the same time stamp: FAT counts in 2 seconds. Within it the contents are
// compared, not only the stamps.
const racyWindow = 3 * time.Second

// rebuildWait bounds how long a reader waits for the lock to rebuild the catalog.
const rebuildWait = time.Minute

// Catalog is the index of the backups of one database in one directory. Its
// methods are safe for concurrent use, and concurrently with other processes'. Reading
// needs no lock; the text is read again only when the file changed.
type Catalog struct {
	dir, base string
	now       func() time.Time

	// turn serialises this value's writers, who then meet other processes' at
	// the lock file.
	turn chan struct{}

	mu      sync.Mutex // guards what follows; never held while waiting for a lock
	place   place
	doc     *document       // immutable; nil before the first load
	stamp   stamp           // the file that doc stands for
	changes catalog.Changes // the changes that loading had to make, not yet reported
}

// stamp recognises one version of catalog.json.
type stamp struct {
	info      fs.FileInfo // nil: no such file
	sum       uint64      // hash of the text
	racyUntil time.Time   // a file older than this is recognised by info alone

	// unsaved: the document is better than the file, which could not be
	// replaced. Readers use it; the next writer starts from the file again.
	unsaved bool
}

var seed = maphash.MakeSeed()

// Open returns the catalog of the backups of the database base ("data" for
// data.db) in dir. A missing directory is an empty catalog; it is not created
// here. A missing or damaged catalog.json is rebuilt from the archives, in
// memory only where dir cannot be written: TakeChanges reports it. Errors: ErrBase,
// ErrVersion, and those of reading files.
func Open(dir, base string) (*Catalog, error) {
	if err := checkBase(base); err != nil {
		return nil, fmt.Errorf("open catalog: %w", err)
	}
	abs, err := filepath.Abs(dir)
	if err != nil {
		return nil, fmt.Errorf("open catalog: %w", err)
	}
	c := &Catalog{dir: abs, base: base, now: time.Now, turn: make(chan struct{}, 1)}
	if err := c.CheckPlace(); err != nil {
		return nil, fmt.Errorf("open catalog: %w", err)
	}
	if _, err := c.view(); err != nil {
		return nil, fmt.Errorf("open catalog: %w", err)
	}
	return c, nil
}

// Dir returns the absolute path of the backup directory.
func (c *Catalog) Dir() string { return c.dir }

// Base returns the database's base name, as given to Open.
func (c *Catalog) Base() string { return c.base }

// Entries returns all backups, newest first.
func (c *Catalog) Entries() ([]catalog.Entry, error) {
	doc, err := c.view()
	if err != nil {
		return nil, fmt.Errorf("list backups: %w", err)
	}
	return doc.newestFirst(), nil
}

// Read returns all backups, newest first, and what is remembered next to them then.
func (c *Catalog) Read() ([]catalog.Entry, catalog.State, error) {
	doc, err := c.view()
	if err != nil {
		return nil, catalog.State{}, fmt.Errorf("read the catalog: %w", err)
	}
	return doc.newestFirst(), doc.state.Clone(), nil
}

// Next returns the number that the next backup gets.
func Next(c *Catalog) (uint64, error) {
	doc, err := c.view()
	if err != nil {
		return 0, fmt.Errorf("read the catalog: %w", err)
	}
	return doc.nextSeq, nil
}

// Candidates returns the backups that a recovery may restore, in the order in which they are
// tried, and how many hold data, those that failed their proof too.
func Candidates(c *Catalog) (usable []catalog.Entry, stored int, err error) {
	all, state, err := c.Read()
	for _, e := range all {
		if e.DatabaseBytes > 0 {
			stored++
		}
	}
	return catalog.Candidates(all, state), stored, err
}

// Latest returns the backup of [catalog.Latest], nil where there is none.
func (c *Catalog) Latest() (*catalog.Entry, error) {
	e, err := c.Get(latestID)
	if errors.Is(err, ErrNotFound) {
		return nil, nil
	}
	return &e, err
}

// All is Entries without a copy of them all: the backups as they are now, newest first.
func (c *Catalog) All() (iter.Seq[catalog.Entry], error) {
	doc, err := c.view()
	if err != nil {
		return nil, fmt.Errorf("list backups: %w", err)
	}
	return doc.backward(), nil
}

// Get returns the backup of that id, file name or beginning of an id; "latest" is that of
// [catalog.Latest]. Errors: ErrNotFound, also for a string that is no id, and ErrAmbiguous.
func (c *Catalog) Get(id string) (catalog.Entry, error) {
	doc, err := c.view()
	if err != nil {
		return catalog.Entry{}, fmt.Errorf("find backup: %w", err)
	}
	return doc.resolve(id)
}

// GetAll returns the backups of ids, each once. It is for a time before the first of them is deleted:
// "latest" names another backup after that.
func GetAll(c *Catalog, ids []string) (all []catalog.Entry, err error) {
	for _, id := range ids {
		e, err := c.Get(id)
		if err != nil {
			return nil, err
		}
		if !slices.ContainsFunc(all, func(b catalog.Entry) bool { return b.ID == e.ID }) {
			all = append(all, e)
		}
	}
	return all, nil
}

// State returns what is remembered next to the entries.
func (c *Catalog) State() (catalog.State, error) {
	doc, err := c.view()
	if err != nil {
		return catalog.State{}, fmt.Errorf("read state: %w", err)
	}
	return doc.state.Clone(), nil
}

func (c *Catalog) file() string { return filepath.Join(c.dir, catalogName) }

// view returns the present catalog, for reading, rebuilding it first if need be.
func (c *Catalog) view() (*document, error) {
	doc, err := c.loadPlain()
	if err == nil || !needsRebuild(err) {
		return doc, err
	}
	ctx, cancel := context.WithTimeout(context.Background(), rebuildWait)
	defer cancel()
	unlock, errLock := c.lock(ctx)
	if errors.Is(errLock, ErrReadOnly) {
		return c.rebuildInMemory(err, errLock)
	}
	if errLock != nil {
		return nil, errors.Join(err, errLock)
	}
	doc, again := c.load() // another process may have rebuilt it meanwhile
	if !errors.Is(again, errLost) {
		err = again // else the first look knows why
	}
	if again != nil && needsRebuild(again) {
		var errSave error
		if doc, errSave = c.replaceLost(err); errSave != nil {
			doc, err = c.rebuildInMemory(err, errSave)
		} else {
			err = nil
		}
	}
	return doc, errors.Join(err, unlock())
}

// viewLocked is view for a writer, who holds the lock: what could not be rebuilt on
// disk is an error, so that a damaged file is never overwritten before a copy
// of it is safe.
func (c *Catalog) viewLocked() (*document, error) {
	c.mu.Lock()
	if c.stamp.unsaved {
		c.stamp = stamp{}
	}
	c.mu.Unlock()
	doc, err := c.loadPlain()
	if err != nil && needsRebuild(err) {
		return c.replaceLost(err)
	}
	return doc, err
}

// loadPlain is load that moves away what is no plain file. The catalog may be in there all the
// same, at the end of a link: it counts as damaged, and no pin is taken for lost.
func (c *Catalog) loadPlain() (*document, error) {
	doc, err := c.load()
	if !errors.Is(err, ErrUnsafe) {
		return doc, err
	}
	if err := c.moveAway(catalogName); err != nil {
		return nil, err
	}
	return nil, fmt.Errorf("%s: %w: it was none of this program's", c.file(), ErrDamaged)
}

// errLost: there are archives, but no catalog.json.
var errLost = errors.New("catalog.json is missing")

func needsRebuild(err error) bool { return errors.Is(err, ErrDamaged) || errors.Is(err, errLost) }

// load returns the document of the file as it is now, from memory when that is
// the same. Errors: errLost, ErrDamaged, ErrVersion, and those of reading.
func (c *Catalog) load() (*document, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	info, err := os.Lstat(c.file())
	if errors.Is(err, fs.ErrNotExist) {
		return c.loadMissing()
	}
	if err != nil {
		return nil, err
	}
	if c.doc != nil && c.stamp.same(info) && (c.stamp.unsaved || info.ModTime().Before(c.stamp.racyUntil)) {
		return c.doc, nil
	}
	text, info, err := c.read()
	if err != nil {
		return nil, err
	}
	s := stamp{info: info, sum: maphash.Bytes(seed, text), racyUntil: c.now().Add(-racyWindow)}
	if c.doc != nil && c.stamp.info != nil && c.stamp.sum == s.sum {
		c.stamp = s
		return c.doc, nil
	}
	doc, err := decode(text)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", c.file(), err)
	}
	c.doc, c.stamp = doc, s
	return doc, nil
}

func (c *Catalog) loadMissing() (*document, error) {
	if c.doc != nil && c.stamp.info == nil && c.stamp.unsaved {
		return c.doc, nil
	}
	archives, err := c.anyArchive()
	if err != nil {
		return nil, err
	}
	if archives {
		return nil, errLost
	}
	fresh := newDocument()
	if c.doc != nil {
		fresh.nextSeq = c.doc.nextSeq
	}
	c.doc, c.stamp = fresh, stamp{}
	return c.doc, nil
}

// same reports whether info is the stamped file. Every write makes a new file;
// until the stamp has settled its number and times might have been used again.
func (s stamp) same(info fs.FileInfo) bool {
	return s.info != nil && os.SameFile(s.info, info) && s.info.Size() == info.Size() && s.info.ModTime().Equal(info.ModTime())
}

// read returns the file's text and what Stat says about that very file.
func (c *Catalog) read() ([]byte, fs.FileInfo, error) {
	f, err := openOurs(c.file(), os.O_RDONLY)
	if err != nil {
		return nil, nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, nil, err
	}
	if info.Size() > maxCatalog {
		return nil, nil, fmt.Errorf("%s: %w: %d bytes are more than the limit of %d", c.file(), ErrDamaged, info.Size(), maxCatalog)
	}
	text := bytes.NewBuffer(make([]byte, 0, info.Size()+bytes.MinRead))
	if _, err := text.ReadFrom(io.LimitReader(f, maxCatalog)); err != nil {
		return nil, nil, fmt.Errorf("read catalog: %w", err)
	}
	return text.Bytes(), info, nil
}

// adopt makes doc the present one, for the file as it is now.
func (c *Catalog) adopt(doc *document, s stamp) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.doc, c.stamp = doc, s
}

// TakeChanges returns what opening or reading had to rebuild since it was last
// asked; Reconcile and Rebuild include it.
func (c *Catalog) TakeChanges() catalog.Changes {
	c.mu.Lock()
	defer c.mu.Unlock()
	ch := c.changes
	c.changes = catalog.Changes{}
	return ch
}

func (c *Catalog) remember(ch catalog.Changes) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.changes.Add(ch)
}

// Revision returns a word that changes with every change of the catalog, by
// any process, and asks the file system only for the file's attributes.
func (c *Catalog) Revision() (string, error) {
	info, err := os.Lstat(c.file())
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil
	}
	if err != nil {
		return "", fmt.Errorf("read catalog: %w", err)
	}
	return fmt.Sprintf("%x-%x", info.Size(), info.ModTime().UnixNano()), nil
}
