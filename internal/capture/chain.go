package capture

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"example.com/snapd/internal/archive"
	"example.com/snapd/internal/changes"
	"example.com/snapd/internal/livedb"
	"example.com/snapd/internal/pages"
	"example.com/snapd/internal/sqlitefile"
	"example.com/snapd/internal/walfollow"
)

// ErrOtherShape: the database's page size is not that of the base. It needs another base.
var ErrOtherShape = errors.New("the page size is not that of the backup that the change log builds on")

// Source is where the files were when a state was looked at.
type Source struct {
	Files livedb.Fingerprint  `json:"files"`
	Log   *walfollow.Position `json:"log,omitempty"` // nil without a log, or where it is not known
}

// ErrPast: the transaction is older than what was captured last, and sees another state.
var ErrPast = errors.New("a later state was captured already")

// Chain is a base and the captures after it. For one goroutine.
type Chain struct {
	path     string
	log      *changes.Log
	seed     archive.Seed
	pageSize int

	// The state at the newest capture, or of the base.
	seq     uint64
	digests []archive.Digest
	sum     archive.Sum
	at      Source
	looked  time.Time
	pinned  time.Time // a time after that state was pinned; zero for one of an earlier process

	pin pin
	may func(Doubt, string) error
}

// Base is the image that a change log builds on.
type Base struct {
	Archive *archive.Reader // read while Open runs
	Seq     uint64          // the last capture that it has; 0 for none
	At      time.Time       // when it was looked at
	Source  Source          // where; its zero value where that is not known
}

// Open continues the log after the base, whose page seed and size are the log's.
func Open(ctx context.Context, path string, base Base, log *changes.Log) (*Chain, error) {
	info := base.Archive.Info()
	c := &Chain{
		path: path, log: log, seed: base.Archive.Seed(), pageSize: info.PageSize,
		seq: base.Seq, at: base.Source, looked: base.At, sum: info.Sum,
		digests: make([]archive.Digest, 0, info.PageCount),
	}
	err := base.Archive.PageDigests(ctx, func(_ int64, d archive.Digest) error {
		c.digests = append(c.digests, d)
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("continue the change log: %w", err)
	}
	last, ok, err := log.Last()
	if err != nil || !ok || last.Seq <= base.Seq {
		return c, err
	}
	m, err := log.Map(ctx, base.Seq, last.Seq)
	if err != nil {
		return nil, err
	}
	defer m.Close()
	c.resize(last.Pages)
	for pgno, d := range m.Digests() {
		c.set(pgno, d)
	}
	if c.sum.Digits() != last.Sum {
		return nil, fmt.Errorf("continue the change log: %w: base and captures do not give the image of capture %d", changes.ErrDamaged, last.Seq)
	}
	c.seq, c.looked, c.at = last.Seq, last.At, Source{}
	if err := json.Unmarshal(last.Source, &c.at); err != nil {
		c.at = Source{} // a look at all pages will do
	}
	return c, nil
}

// resize makes the state one of so many pages, new ones with digests that no page has yet.
func (c *Chain) resize(n int64) {
	for int64(len(c.digests)) > n {
		last := len(c.digests) - 1
		c.sum.Sub(c.digests[last])
		c.digests = c.digests[:last]
	}
	for int64(len(c.digests)) < n {
		c.digests = append(c.digests, archive.Digest{})
		c.sum.Add(archive.Digest{})
	}
}

func (c *Chain) set(pgno uint32, d archive.Digest) {
	c.sum.Sub(c.digests[pgno-1])
	c.sum.Add(d)
	c.digests[pgno-1] = d
}

// Way is how a capture found what had changed.
type Way string

// The ways.
const (
	Nothing  Way = "nothing" // was committed
	Followed Way = "followed"
	Compared Way = "compared"
)

// Outcome is what a look found.
type Outcome struct {
	Way     Way
	Reason  string          // for Compared: why the log does not have it
	Behind  bool            // commits that were captured are gone from the log: another history began
	Capture changes.Capture // unless Nothing
	Changed int             // pages

	Log    *walfollow.Position // where the look found the log; nil without one, or where it was not looked at
	Hold   Hold
	Early  int64         // the log's frame with which the next look is due, see Watch
	Locked time.Duration // for which writers had to wait: in the rollback-journal modes
}

// Capture looks at the database, and appends what was committed since the last look. Errors: those of
// livedb.Begin and, with ErrCopyOnly, of Options.InPlace; ErrExclusive, ErrForeignLog, ErrNetwork;
// ErrOtherShape; those of the log, after which the state is the one before.
func (c *Chain) Capture(ctx context.Context, now func() time.Time) (out Outcome, err error) {
	defer func() {
		if err != nil { // what it is tried again for may take long
			err = errors.Join(fmt.Errorf("capture: %w", err), c.pin.letGo())
		}
	}()
	files, err := livedb.Look(c.path)
	if err != nil {
		return out, err
	}
	if c.unchanged(files) {
		return Outcome{Way: Nothing}, c.pin.letGo()
	}
	tx, err := c.begin(ctx, files)
	if err != nil {
		return out, err
	}
	begun := time.Now()
	out, err = c.capture(ctx, tx, files.Fingerprint, now)
	if err != nil {
		return out, errors.Join(err, tx.Close())
	}
	return c.keep(ctx, tx, out, begun)
}

// keep keeps the connection of a look instead of that of the look before.
func (c *Chain) keep(ctx context.Context, tx *livedb.Tx, out Outcome, begun time.Time) (Outcome, error) {
	if tx.Info().JournalMode != "wal" {
		err := errors.Join(tx.Close(), c.Rest())
		out.Locked = time.Since(begun)
		return out, err
	}
	err := c.pin.take(ctx, tx, &out, begun)
	return out, err
}

// unchanged reports whether the files prove that nothing was committed since the last look. In the
// rollback-journal modes each commit moves the change counter.
func (c *Chain) unchanged(files livedb.Files) bool {
	return c.at.Files.Unchanged(files.Fingerprint) ||
		files.Main.Present && !files.UsesLog() && c.at.Log == nil && c.at.Files.Same(files.Fingerprint)
}

// Rest closes the connection that is held between looks: after some silence, so that the application's
// last one is the last one.
func (c *Chain) Rest() error { return c.pin.close() }

func (c *Chain) capture(ctx context.Context, tx *livedb.Tx, files livedb.Fingerprint, now func() time.Time) (out Outcome, err error) {
	if size := tx.Info().PageSize; size != c.pageSize {
		return out, fmt.Errorf("%w: %d, not %d", ErrOtherShape, size, c.pageSize)
	}
	if err := c.ask(NoDoubt, ""); err != nil {
		return out, err
	}
	at := Source{Files: files}
	if x, ok := tx.LogIndex(); ok {
		at.Log = &x
	}
	pinned := time.Now()
	if c.mayBePast(tx, at) {
		return out, ErrPast
	}
	out, err = c.find(ctx, tx, at, now)
	if err != nil {
		return out, err
	}
	c.pin.judge(out, c.at.Log, at.Log)
	c.at, c.pinned, out.Log = at, pinned, at.Log
	return out, nil
}

// mayBePast reports whether tx, which another goroutine began, may see a state before the last
// one that was captured. In the rollback-journal modes nothing is committed while it is open.
func (c *Chain) mayBePast(tx *livedb.Tx, at Source) bool {
	if !tx.Pinned().Before(c.pinned) || tx.Info().JournalMode != "wal" {
		return false
	}
	was, is := c.at.Log, at.Log
	onward := was != nil && is != nil && was.Salts == is.Salts && (*was == *is || was.LastFrame < is.LastFrame)
	return !onward
}

// find finds what differs, by the first way that is proven, and appends it.
func (c *Chain) find(ctx context.Context, tx *livedb.Tx, at Source, now func() time.Time) (Outcome, error) {
	out := Outcome{Way: Compared}
	if was := c.at.Files.Main; was.Present && was.ID != at.Files.Main.ID {
		out.Reason = "it is another file"
		if err := c.ask(OtherFile, out.Reason); err != nil {
			return out, err
		}
	}
	from, known := c.from(at)
	switch {
	case out.Reason != "":
	case at.Log == nil:
		out.Reason = "the database has no log"
	case !known:
		out.Reason = "there was no log to go on from"
	case from == *at.Log:
		return Outcome{Way: Nothing}, nil
	default:
		out.Way = Followed
		f, err := c.follow(ctx, tx, from, *at.Log)
		if err == nil {
			err = c.append(ctx, &out, f, at, now())
		}
		var m *walfollow.MissedError
		if !errors.As(err, &m) {
			return out, err
		}
		out = Outcome{Way: Compared, Reason: m.Reason, Behind: m.Behind}
	}
	if out.Behind {
		if err := c.ask(Behind, out.Reason); err != nil {
			return out, err
		}
	}
	f, err := c.compare(ctx, tx)
	if err != nil {
		return out, err
	}
	return out, c.append(ctx, &out, f, at, now())
}

// from is the position in the log that at is of after which commits were not captured. Where there was no
// log that is its beginning, if nothing has been copied from it into the database file, or into
// that before it began: the file is as it was, and the log that was there then is still there.
func (c *Chain) from(at Source) (p walfollow.Position, known bool) {
	switch {
	case at.Log == nil:
		return p, false
	case c.at.Log != nil && c.at.Log.PageSize > 0:
		return *c.at.Log, true
	}
	salts, ok := at.Files.LogSalts()
	if !ok || salts != at.Log.Salts || !c.at.Files.FileUntouched(at.Files) {
		return p, false
	}
	return walfollow.Position{PageSize: at.Log.PageSize, Pages: uint32(len(c.digests)), Salts: salts}, true
}

// found are the pages in which a state differs.
type found struct {
	pages   int64 // of the database
	commits int64
	digests map[uint32]archive.Digest
	read    func(pgno uint32, page []byte) error
	close   []func()
}

// follow takes them from the log, between two positions.
func (c *Chain) follow(ctx context.Context, tx *livedb.Tx, from, to walfollow.Position) (_ *found, err error) {
	log, err := livedb.OpenSidecar(sqlitefile.WAL(tx.Path()))
	if err != nil {
		return nil, fmt.Errorf("open the log: %w", err)
	}
	f := &found{pages: tx.Info().PageCount, digests: map[uint32]archive.Digest{}, close: []func(){func() { log.Close() }}}
	defer func() {
		if err != nil {
			f.end()
		}
	}()
	fi, err := log.Stat()
	if err != nil {
		return nil, fmt.Errorf("open the log: %w", err)
	}
	// An index that is made again counts from 0, so that a count from there proves nothing.
	changed, err := walfollow.Follow(ctx, walfollow.Look{
		Log:  sqlitefile.LogFile{R: log, Size: fi.Size()},
		From: from, To: to, Unbroken: c.pin.tx != nil && from.Changes > 0, Seed: c.seed,
	})
	if err != nil {
		return nil, err
	}
	if int64(changed.Size) != f.pages {
		return nil, &walfollow.MissedError{Reason: fmt.Sprintf("it ends with %d pages, the database has %d", changed.Size, f.pages)}
	}
	f.commits = changed.Commits
	for pgno, place := range changed.Pages {
		f.add(c, pgno, place.Digest)
	}
	read, end, err := (&pages.Snapshot{Tx: tx}).Pages()
	if err != nil {
		return nil, err
	}
	f.close = append(f.close, end)
	page := make([]byte, c.pageSize)
	for pgno := changed.Least + 1; pgno <= changed.Size; pgno++ {
		if _, written := changed.Pages[pgno]; written {
			continue
		}
		if err := read(pgno, page); err != nil {
			return nil, err
		}
		f.add(c, pgno, archive.PageDigest(c.seed, int64(pgno), page))
	}
	f.read = func(pgno uint32, page []byte) error {
		if _, written := changed.Pages[pgno]; !written {
			return read(pgno, page)
		}
		return changed.ReadPage(log, pgno, page)
	}
	return f, nil
}

// end gives up what reading needed; of nil it does nothing.
func (f *found) end() {
	if f == nil {
		return
	}
	for _, end := range f.close {
		end()
	}
}

// add adds a page if it differs.
func (f *found) add(c *Chain, pgno uint32, d archive.Digest) {
	if int(pgno) > len(c.digests) || c.digests[pgno-1] != d {
		f.digests[pgno] = d
	}
}
