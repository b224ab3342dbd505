package browser

import (
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/chromedp/chromedp/kb"

	"example.com/snapd/snapshot"
)

// customers makes a backup of customers with their orders. Then the wrong ones are deleted, and one moves.
func (s *site) customers() (b snapshot.Backup) {
	s.t.Helper()
	s.exec("CREATE TABLE customers(id INTEGER PRIMARY KEY, name TEXT NOT NULL, city TEXT)")
	s.exec("CREATE TABLE orders(id INTEGER PRIMARY KEY, customer INTEGER NOT NULL REFERENCES customers ON DELETE CASCADE, what TEXT)")
	s.exec("WITH n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n WHERE i < 60) INSERT INTO customers SELECT i, 'Customer ' || i, 'Bonn' FROM n")
	s.exec("INSERT INTO orders SELECT id * 10 + 1, id, 'a desk' FROM customers UNION ALL SELECT id * 10 + 2, id, 'a lamp' FROM customers")
	b = s.manual("before the clean-up")
	s.exec("DELETE FROM customers WHERE id BETWEEN 11 AND 22")
	s.exec("UPDATE customers SET city = 'Ulm' WHERE id IN (30, 31)")
	return b
}

// working has the application go on until the test ends, and returns how many customers it has added.
func (s *site) working() (added func() int64) {
	s.t.Helper()
	var n atomic.Int64
	stop, ended := make(chan struct{}), make(chan error, 1)
	go func() {
		tick := time.NewTicker(20 * time.Millisecond)
		defer tick.Stop()
		for {
			select {
			case <-stop:
				ended <- nil
				return
			case <-tick.C:
			}
			if _, err := s.app.Exec("INSERT INTO customers(id, name, city) VALUES(?, 'new', 'Kiel')", 1000+n.Load()); err != nil {
				ended <- err
				return
			}
			n.Add(1)
		}
	}()
	s.t.Cleanup(func() {
		close(stop)
		if err := <-ended; err != nil {
			s.t.Errorf("the application: %v", err)
		}
	})
	return n.Load
}

// What the page is for on a bad day: exactly those who were deleted are back, next to the application, with everything since.
func TestBringRowsBack(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	b := s.customers()
	then := s.automatic()
	added := s.working()
	p := s.open(desktop)
	p.does(b, "inside")
	p.says(hook("inside"), "12 removed", "24 removed")
	p.click(hook("inside-customers"))
	p.says(".changed-rows", "Customer 11")
	p.click(hook("inside-when"))
	p.says(hook("inside-times"), typed(t, then.CreatedAt)[11:], "12 removed, 2 changed")
	p.click(hook("only-delete"))
	p.wait("the removed ones only", "document.querySelectorAll('.changed-rows tbody tr').length === 12")
	p.says(hook("choose-gone")+" + span", "all 12 that are gone")
	p.click(hook("choose-gone"))
	p.click(hook("choose-along"))
	p.says(hook("bring-back"), "bring 12 rows back")
	p.accessible("rows are chosen")

	p.click(hook("bring-back"))
	p.says(hook("dialog-rows"), "customers: 12 rows come back", "orders: 24 rows come back with them", "everything else stays", "Customer 22")
	p.calm("dialog-rows")
	if n := s.count("SELECT count(*) FROM customers WHERE id < 1000"); n != 48 {
		t.Fatalf("%d customers before it was confirmed", n)
	}
	before := added()
	s.waitFor("the application to go on", func() bool { return added() > before })
	p.click(hook("dialog-rows-confirm"))
	p.says(hook("outcome"), "12 of customers, 24 of orders")
	since := added()
	if got := s.count("SELECT count(*) FROM customers WHERE id <= 60 AND name = 'Customer ' || id"); got != 60 {
		t.Errorf("%d customers are back, of 60", got)
	}
	if got := s.count("SELECT count(*) FROM orders"); got != 120 {
		t.Errorf("%d orders are back, of 120", got)
	}
	if moved, kept := s.count("SELECT count(*) FROM customers WHERE city = 'Ulm'"), s.count("SELECT count(*) FROM customers WHERE id >= 1000"); moved != 2 || kept < since {
		t.Errorf("of what was committed since, %d of 2 moves and %d of %d customers are there", moved, kept, since)
	}
	p.wait("what is inside to be shown again", text(hook("inside-customers"))+" !== '' && !"+text(hook("inside"))+".includes('removed')")
	p.accessible("rows are back")

	// The way back takes those rows away again, and nothing else.
	p.says(hook("undo-banner"), "were brought back")
	p.click(hook("undo-button"))
	p.says(hook("dialog-rows"), "customers: 12 rows are removed again", "orders: 24 rows are removed again")
	p.accessible("an undo of rows")
	since = added()
	p.click(hook("dialog-rows-confirm"))
	p.says(hook("outcome"), "it is undone")
	if old, kept := s.count("SELECT count(*) FROM customers WHERE id <= 60"), s.count("SELECT count(*) FROM customers WHERE id >= 1000"); old != 48 || kept < since {
		t.Errorf("after the undo %d of 48, and %d of %d new customers are there", old, kept, since)
	}
}

// Who has only keys, or a small screen in the dark, chooses single rows, and decides about those that are different now.
func TestChooseSingleRows(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	b := s.customers()
	p := s.open(night)
	p.does(b, "inside")
	p.tabTo(hook("inside-customers"), 40)
	p.press(kb.Enter)
	p.sees(".changed-rows")
	p.tabTo(".changed-rows tr:nth-child(2) input", 40)
	p.press(" ")
	p.tabTo(".changed-rows [data-op=update] input", 40)
	p.press(" ")
	p.says(hook("bring-back"), "bring 2 rows back")
	p.fits(night)
	p.click(hook("only-update")) // of a long list a box may be half under its head
	p.wait("the changed ones only", "document.querySelectorAll('.changed-rows tbody tr').length === 2")
	p.accessible("two rows are chosen")
	p.click(hook("bring-back"))
	p.says(hook("dialog-rows"), "customers: 1 row comes back", "what is to become", "bring 2 rows back")
	p.wait("the dialog to fit", "(d => d.scrollWidth <= d.clientWidth)(document.querySelector('dialog'))")
	p.accessible("a row that is different now")
	p.click(hook("policy-fail"))
	p.says(hook("dialog-rows-confirm"), "bring back")
	p.click(hook("policy-skip"))
	p.says(hook("dialog-rows-confirm"), "bring 1 row back")
	p.click(hook("policy-replace"))
	p.click(hook("dialog-rows-confirm"))
	p.says(hook("outcome"), "2 of customers")
	if back, put := s.count("SELECT count(*) FROM customers WHERE id BETWEEN 11 AND 22"), s.count("SELECT count(*) FROM customers WHERE city = 'Ulm'"); back != 1 || put != 1 {
		t.Errorf("%d of the deleted customers are back, and %d are still in Ulm", back, put)
	}

	// Orders without their customers violate a foreign key: nothing is done, and the page says what would help.
	p.says(hook("inside"), "11 removed, 1 changed")
	p.click(hook("inside-customers"))
	p.gone(hook("choose-gone"))
	p.click(hook("inside-orders"))
	p.click(hook("choose-gone"))
	p.click(hook("bring-back"))
	p.click(hook("dialog-rows-confirm"))
	p.says(hook("outcome"), "failed", "“With what belongs to them in other tables”")
	if n := s.count("SELECT count(*) FROM orders"); n != 96 {
		t.Errorf("%d orders", n)
	}
}

// However many rows changed, the document has a bounded part of them, and all can be seen.
func TestManyChangedRows(t *testing.T) {
	t.Parallel()
	const all, window = 20_000, 500
	s := newSite(t)
	s.exec("CREATE TABLE many(id INTEGER PRIMARY KEY, v)")
	s.exec("WITH n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n WHERE i < ?) INSERT INTO many SELECT i, i FROM n", all)
	b := s.manual("before")
	s.exec("UPDATE many SET v = -v")
	p := s.open(desktop)
	p.does(b, "inside")
	p.says(hook("inside"), "20,000 changed")
	p.click(hook("inside-many"))
	p.says(hook("inside-where"), "rows 1 to 100 of 20,000")
	const lines = "document.querySelectorAll('.changed-rows tbody tr').length"
	for to := 200; to <= window+200; to += 100 {
		p.click(hook("inside-more"))
		from := max(1, to-window+1)
		p.says(hook("inside-where"), fmt.Sprintf("rows %d to %d of 20,000", from, to))
		if n := must[int](p, lines); n != min(to, window) {
			t.Fatalf("%d lines of rows %d to %d", n, from, to)
		}
	}
	p.click(hook("inside-before"))
	p.says(hook("inside-where"), "rows 101 to 600 of 20,000")
	p.says(".changed-rows tbody tr", "101")
	if n := must[int](p, lines); n != window {
		t.Errorf("%d lines", n)
	}
	p.click(hook("choose-changed"))
	p.click(hook("bring-back"))
	p.says(hook("dialog-rows-confirm"), "bring 20,000 rows back")
	p.click(hook("dialog-rows-confirm"))
	p.says(hook("outcome"), "20,000 of many")
	if n := s.count("SELECT count(*) FROM many WHERE v = id"); n != all {
		t.Errorf("%d rows are what they were", n)
	}
	p.click(hook("undo-button"))
	p.says(hook("dialog-rows"), "20,000 rows become what they were", "becomes 1 1 -1")
}
