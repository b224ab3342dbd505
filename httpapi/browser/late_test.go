package browser

import (
	"fmt"
	"testing"
	"time"

	"github.com/chromedp/chromedp/kb"

	"example.com/snapd/snapshot"
)

// hold has the next answer to a request with that part in its address come late: when it is released.
func (p *tab) hold(part string) {
	p.t.Helper()
	must[any](p, `((real, part) => {
		let open; const gate = new Promise(r => { open = r; });
		window.snapdHeld = false; window.snapdOpen = 0; window.snapdRelease = open;
		window.fetch = async (...all) => {
			const late = !snapdHeld && String(all[0]).includes(part);
			snapdHeld ||= late; snapdOpen += 1;
			const answer = await real(...all);
			const text = await answer.text();
			if (late) await gate;
			setTimeout(() => { snapdOpen -= 1; }); // after all that waits for it
			return new Response(answer.status === 204 ? null : text, { status: answer.status, headers: answer.headers });
		};
	})(window.fetch.bind(window), `+quote(part)+`), null`)
}

// held waits until an answer is held.
func (p *tab) held() {
	p.t.Helper()
	p.wait("an answer to be held", "window.snapdHeld")
}

// release lets it come, and waits until what it leads to is done.
func (p *tab) release() {
	p.t.Helper()
	must[any](p, "snapdRelease(), null")
	p.wait("the late answer", "new Promise(r => setTimeout(() => r(snapdOpen === 0)))")
}

// If this fails, a person goes back to another moment than the one that they chose: what was asked before came later.
func TestLateStateOfAMoment(t *testing.T) {
	t.Parallel()
	past, made := momentsAgo(5*time.Hour, 3*time.Hour, time.Hour)
	s := newSite(t, past)
	p := s.open(desktop)
	p.axis()
	p.fill(hook("moment-time"), typed(t, (*made)[0].CreatedAt.Add(time.Minute)))
	p.press(kb.Enter)
	p.says(hook("moment-before"), typed(t, (*made)[0].CreatedAt)[11:])
	p.hold("points/nearest")
	must[any](p, "document.dispatchEvent(new Event('visibilitychange')), null") // the page asks for everything again
	p.held()
	p.fill(hook("moment-time"), typed(t, (*made)[1].CreatedAt.Add(time.Minute)))
	p.press(kb.Enter)
	want := typed(t, (*made)[1].CreatedAt)[11:]
	p.says(hook("moment-before"), want)
	p.release()
	if got := p.read(hook("moment-before-restore")); got != "Go back to "+want+"…" {
		t.Errorf("the button says %q", got)
	}
}

// If this fails, rows that are back are shown as gone.
func TestLateInside(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	b := s.customers()
	p := s.open(desktop)
	p.does(b, "inside")
	p.says(hook("inside"), "12 removed")
	back := func(id int) {
		t.Helper()
		if _, err := s.manager.RestoreRows(t.Context(), b.ID, snapshot.RestoreRowsOptions{RowsOptions: snapshot.RowsOptions{Table: "customers", Where: fmt.Sprint("id = ", id)}}); err != nil {
			t.Fatal(err)
		}
	}
	p.hold("/diff/live")
	back(11)
	p.held()
	back(12)
	p.says(hook("inside"), "10 removed")
	p.release()
	p.says(hook("inside"), "10 removed")

	// One backup's inside that takes long keeps no other from being opened.
	p.hold("/diff/live")
	p.click(act(b, "inside"))
	p.gone(hook("inside"))
	p.click(act(b, "inside"))
	p.held()
	other := s.manual("another")
	p.says(row(other), "another")
	p.does(other, "inside")
	p.says(hook("inside"), "nothing changed since")
	p.release()
	p.says(hook("inside"), "nothing changed since")
}

// If this fails, the work of choosing rows is lost when something else ends, or fails.
func TestChosenRowsStay(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	b := s.customers()
	p := s.open(desktop)
	p.does(b, "inside")
	p.click(hook("inside-orders"))
	for _, n := range []string{"1", "3", "5"} {
		p.click(".changed-rows tbody tr:nth-child(" + n + ") input")
	}
	p.says(hook("bring-back"), "bring 3 rows back")
	p.click(hook("bring-back"))
	p.click(hook("dialog-rows-confirm"))
	p.says(hook("outcome"), "failed") // their customers are gone

	p.says(hook("bring-back"), "bring 3 rows back")
	const ticked = "document.querySelectorAll('.changed-rows tbody input:checked').length"
	if n := must[int](p, ticked); n != 3 {
		t.Errorf("%d rows are ticked after a failure", n)
	}

	// Those that are back are not chosen any more, the others are.
	o := snapshot.RestoreRowsOptions{RowsOptions: snapshot.RowsOptions{Table: "orders", Where: "id = 111", References: true}}
	if _, err := s.manager.RestoreRows(t.Context(), b.ID, o); err != nil {
		t.Fatal(err)
	}
	p.says(hook("bring-back"), "bring 2 rows back")
	if n := must[int](p, ticked); n != 2 {
		t.Errorf("%d rows are ticked after one is back", n)
	}
	p.click(hook("choose-along"))
	p.click(hook("bring-back"))
	p.says(hook("dialog-rows"), "customers: 2 rows come back with them")
	p.click(hook("dialog-rows-confirm"))
	p.says(hook("outcome"), "of orders, 2 of customers")
	p.wait("no choice", text(hook("bring-back"))+" === 'Bring rows back…'")
}

// From the time at which rows went, one step leads to what was there before.
func TestWhenLeadsToTheStateBefore(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	b := s.customers()
	then := s.automatic()
	p := s.open(desktop)
	p.allow(unreachable)
	p.does(b, "inside")
	p.click(hook("inside-customers"))
	p.sees(".changed-rows")
	must[any](p, `(real => { window.fetch = (...all) => { if (!String(all[0]).includes('points/log')) return real(...all); window.fetch = real; return Promise.reject(new Error('gone')); }; })(window.fetch.bind(window)), null`)
	p.click(hook("inside-when"))
	p.says(hook("message"), "cannot be reached")
	p.click(hook("inside-when")) // it can be asked again
	p.says(hook("inside-times"), typed(t, then.CreatedAt)[11:], "12 removed, 2 changed")
	p.accessible("when")
	p.click(hook("inside-just-before"))
	p.says("#moment-inside", "inside the state of "+typed(t, b.CreatedAt)[11:], "12 removed, 2 changed")
	if got := p.focused(); got != "h3" {
		t.Errorf("the focus is at %s", got)
	}
	for _, d := range []device{narrow, night} {
		p.look(d)
		p.fits(d)
	}
}

// If this fails, who closes a dialog without a mouse begins again somewhere else: what opened it was drawn again meanwhile.
func TestFocusComesBackToTheMoment(t *testing.T) {
	t.Parallel()
	past, made := momentsAgo(5*time.Hour, time.Hour)
	s := newSite(t, past)
	p := s.open(desktop)
	p.axis()
	p.fill(hook("moment-time"), typed(t, (*made)[0].CreatedAt.Add(time.Minute)))
	p.press(kb.Enter)
	p.sees(hook("moment-before-restore"))
	p.click(hook("moment-before-restore"))
	p.sees(hook("dialog-restore-1"))
	must[any](p, `(b => { Date.now = (real => () => real() + 20_000)(Date.now); window.snapdOpener = b; document.dispatchEvent(new Event('visibilitychange')); })(`+found(hook("moment-before-restore"))+`), null`)
	p.wait("another button", "!snapdOpener.isConnected")
	p.press(kb.Escape)
	p.wait("the dialog to be gone", "!document.querySelector('dialog')")
	if got := p.focused(); got != "moment-before-restore" {
		t.Errorf("the focus is at %s", got)
	}
}
