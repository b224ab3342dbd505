package pages

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"path/filepath"

	"example.com/snapd/internal/durable"
	"example.com/snapd/internal/livedb"
	"example.com/snapd/internal/sqlite"
)

// ErrPageSize: live database and image differ in page size or in the bytes
// reserved on each page, or the image has no page: such an image can only replace the file.
var ErrPageSize = errors.New("the page sizes differ")

// flushEvery is how many bytes of changed pages are written before the page
// cache is emptied: what bounds the memory of a Replace. A test has it sooner.
var flushEvery int64 = 16 << 20

// maxPages is SQLite's limit on pages in a database (SQLITE_MAX_PAGE_COUNT).
const maxPages = 0xfffffffe

// Image is what a Replace makes of the database.
type Image struct {
	Page1 []byte
	Pages int64 // how many there are, at least 1
	// Changed is how many of them Fill puts, at most; 0 where that is not known.
	Changed int64
	// Fill calls put with every page that the database does not have already, in any
	// order; page 1 may be among them or not. Put's errors end it.
	Fill func(ctx context.Context, put func(pgno int64, page []byte) error) error
}

// Replace makes the database equal to the image. That the pages which Fill does not put
// are those of the image is the caller's to know. Written is the number of pages that were
// written, page 1 always among them.
//
// Kept from the live database are the journal mode (bytes 18–19). Set are the change
// counter, version-valid-for and library version (24–27, 92–99) and the schema cookie
// (40–43), which becomes higher than both, so that every other connection notices, by as
// much as [Committed] needs. Page size and reserved bytes must agree, and the image must
// have a page: else ErrPageSize, with nothing written. After any other error the
// transaction can only be rolled back.
//
// In the rollback-journal modes a large replacement waits for readers, until ctx
// ends, whenever it has to make room.
func (t *WriteTx) Replace(ctx context.Context, image Image) (written int64, err error) {
	if err := t.fits(len(image.Page1), image.Pages); err != nil {
		return 0, err
	}
	page1, cookie, err := t.newPage1(image.Page1, image.Pages)
	if err != nil {
		return 0, err
	}
	if err := durable.Fits(filepath.Dir(t.path), t.room(image)); err != nil {
		return 0, fmt.Errorf("replace %s: %w", t.path, err)
	}
	if err := t.snap.CloseSecondReader(); err != nil { // whose lock would be in the way
		return 0, err
	}
	t.state, t.cookie = writeBroken, cookie
	r := replacement{t: t, image: image}
	if err := r.run(ctx, page1, cookie); err != nil {
		if errors.Is(err, ctx.Err()) {
			return r.written, fmt.Errorf("replace %s: %w", t.path, err)
		}
		return r.written, livedb.Explain("replace", t.path, err)
	}
	t.state = writeOpen
	return r.written, nil
}

// room is how many bytes more a replacement takes on the database's disk, at most: in WAL
// mode all that it writes goes to the log; else the journal takes the pages that were there, and
// the file grows.
func (t *WriteTx) room(image Image) int64 {
	const header = 32 // more than a frame has, or a page in a journal
	live := t.snap.Info()
	grows := max(0, image.Pages-live.PageCount)
	if live.JournalMode == "wal" {
		if !t.ownLog {
			grows = 0 // who uses the log copies it
		}
		return (image.Changed + 1 + grows) * int64(live.PageSize+header)
	}
	cut := max(0, live.PageCount-image.Pages)
	return (min(image.Changed+1+cut, live.PageCount) + grows) * int64(live.PageSize+header)
}

func (t *WriteTx) fits(pageSize int, pageCount int64) error {
	if t.state != writeOpen {
		return fmt.Errorf("replace %s: the transaction has ended", t.path)
	}
	live := t.snap.Info()
	switch {
	case pageCount < 1:
		return fmt.Errorf("replace %s: %w: the image is empty; replace the file instead", t.path, ErrPageSize)
	case live.PageSize != pageSize:
		return fmt.Errorf("replace %s: %w: %d bytes live, %d in the image; replace the file instead", t.path, ErrPageSize, live.PageSize, pageSize)
	case pageSize < 512 || len(t.page1) != pageSize:
		return fmt.Errorf("replace %s: %w: there is no page 1 of %d bytes", t.path, ErrPageSize, pageSize)
	case pageCount > maxPages:
		return fmt.Errorf("replace %s: the image claims %d pages, more than SQLite allows", t.path, pageCount)
	}
	return nil
}

// newPage1 returns the image's page 1 with what must be the live database's own,
// and the schema cookie that is to come.
func (t *WriteTx) newPage1(image []byte, pageCount int64) (page1 []byte, next uint32, err error) {
	if image[hdrReserved] != t.page1[hdrReserved] {
		return nil, 0, fmt.Errorf("replace %s: %w: %d bytes of each page are reserved live, %d in the image; replace the file instead",
			t.path, ErrPageSize, t.page1[hdrReserved], image[hdrReserved])
	}
	page1 = bytes.Clone(image)
	copy(page1[hdrWriteFormat:hdrWriteFormat+2], t.page1[hdrWriteFormat:])
	copy(page1[hdrCookie:hdrCookie+4], t.page1[hdrCookie:])
	// The pager will declare the count valid, whichever program wrote the image.
	binary.BigEndian.PutUint32(page1[hdrPageCount:], uint32(pageCount))
	live, old := binary.BigEndian.Uint32(t.page1[hdrCookie:]), binary.BigEndian.Uint32(image[hdrCookie:])
	next = max(live, old) + cookieStep
	for next == 0 || next == live || next == old { // after 2³²-1 schema changes
		next++
	}
	return page1, next, nil
}

// cookieStep is how far Replace sets the schema cookie ahead: further than the changes
// of the schema that an application makes until it is asked for.
const cookieStep = 1024

// Cookie is the schema cookie that Replace has set, and with which a commit makes it
// known for good; see [Committed].
func (t *WriteTx) Cookie() uint32 { return t.cookie }

// Committed reports whether a replacement that set cookie was committed, by the
// schema cookie that the database has now: the application may have changed its schema
// since, but not a thousand times.
func Committed(cookie, now uint32) bool { return now-cookie < cookieStep }

// replacement is one run of Replace.
type replacement struct {
	t         *WriteTx
	image     Image
	insert    *sqlite.Stmt
	written   int64
	unflushed int64
}

func (r *replacement) run(ctx context.Context, page1 []byte, cookie uint32) (err error) {
	conn := r.t.conn
	// With auto_vacuum=full, COMMIT would move pages about by pointer maps that
	// the image need not have. In incremental mode it moves nothing; the pragma
	// changes a field of page 1, which the image's own value then replaces.
	if r.t.snap.Info().AutoVacuum == "full" {
		if err := conn.Exec(ctx, "PRAGMA auto_vacuum=INCREMENTAL"); err != nil {
			return err
		}
	}
	if r.insert, err = conn.Prepare("INSERT INTO sqlite_dbpage(pgno,data) VALUES(?,?)"); err != nil {
		return err
	}
	defer r.insert.Close()
	if err := r.image.Fill(ctx, func(pgno int64, page []byte) error { return r.take(ctx, pgno, page) }); err != nil {
		return err
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	if err := r.write(ctx, 1, page1); err != nil {
		return err
	}
	if r.image.Pages < r.t.snap.Info().PageCount {
		// After all pages: SQLite forgets the truncation when one is written later.
		if err := r.put(r.image.Pages+1, nil); err != nil {
			return err
		}
	}
	// Last of all, and not as a part of page 1: a statement that meets a new cookie
	// parses the schema again, from pages that this connection has half in memory.
	return conn.Exec(ctx, fmt.Sprintf("PRAGMA schema_version=%d", int32(cookie)))
}

// take writes a page that Fill puts. Page 1 comes last of all, and the page with
// SQLite's locks stores nothing.
func (r *replacement) take(ctx context.Context, pgno int64, page []byte) error {
	size := len(r.image.Page1)
	switch {
	case pgno < 1 || pgno > r.image.Pages || len(page) != size:
		return fmt.Errorf("page %d of %d bytes in an image of %d pages of %d", pgno, len(page), r.image.Pages, size)
	case pgno == 1 || pgno == lockPage(size):
		return nil
	}
	if r.written%256 == 0 {
		if err := ctx.Err(); err != nil {
			return err
		}
	}
	return r.write(ctx, pgno, page)
}

func (r *replacement) write(ctx context.Context, pgno int64, page []byte) error {
	if err := r.put(pgno, page); err != nil {
		return err
	}
	r.written++
	if r.unflushed += int64(len(page)); r.unflushed < flushEvery {
		return nil
	}
	r.unflushed = 0
	wait, cancel := context.WithTimeout(ctx, r.t.wait)
	defer cancel()
	return livedb.Wait(wait, r.t.conn.CacheFlush)
}

// put inserts one page; nil data makes pgno the first page that is cut off.
func (r *replacement) put(pgno int64, data []byte) error {
	r.insert.Reset()
	err := r.insert.BindInt(1, pgno)
	if data == nil {
		err = errors.Join(err, r.insert.BindNull(2))
	} else {
		err = errors.Join(err, r.insert.BindBlob(2, data))
	}
	if err != nil {
		return err
	}
	_, err = r.insert.StepFast()
	r.insert.Reset()
	return err
}
