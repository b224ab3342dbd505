package browser

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/input"
	"github.com/chromedp/cdproto/performance"
	"github.com/chromedp/chromedp"

	"example.com/snapd/internal/catalogfile"
	"example.com/snapd/snapshot"
)

// Limits of the page.
const (
	firstPaint  = 104 << 10 // bytes over the network
	mostShift   = 0.02      // cumulative, where 0.1 counts as good
	manyBackups = 500
	frameBudget = 48 * time.Millisecond // of one core, several times what it takes: machines are noisy
)

type shift struct {
	Value, At float64
	What      []string
}

// steady asserts that nothing on the page has moved by itself.
func (p *tab) steady(when string) {
	p.t.Helper()
	var sum float64
	shifts := must[[]shift](p, "snapdShifts")
	for _, s := range shifts {
		sum += s.Value
	}
	if sum > mostShift {
		p.t.Errorf("%s: layout shift %.3f, at most %.2f: %v", when, sum, mostShift, shifts)
	}
}

// A page that is wanted in an emergency, over any connection, must be there
// at once, and not jump while the user aims at a button.
func TestFirstPaint(t *testing.T) {
	t.Parallel()
	s := newSite(t, withPast(3*time.Hour))
	s.manual("one")
	p := s.open(desktop)
	p.says(hook("backups"), "one")
	p.sees(hook("strip"))
	must[any](p, "new Promise(r => requestIdleCallback(() => r(null)))")
	if n := p.received(); n == 0 || n > firstPaint {
		t.Errorf("first paint took %d bytes, at most %d", n, firstPaint)
	}
	t.Logf("first paint: %d bytes", p.received())
	p.steady("after the load")
	p.visit(s.page())
	p.says(hook("backups"), "one")
	p.steady("signed in")
}

// Years of backups must scroll like a page of text. Not next to other tests: it measures.
func TestManyBackups(t *testing.T) {
	var c clock
	s := newSite(t, func(s *site) { s.config.Now = c.now })
	c.set(time.Now().Add(-manyBackups * time.Hour))
	first := s.manual("the first")
	c.right()
	s.multiply(first, manyBackups)
	all := s.backups()
	p := s.open(desktop)
	for n := 100; n < len(all); n += 500 {
		p.wait("rows", fmt.Sprintf("document.querySelectorAll('[data-testid^=row-]').length === %d", n))
		p.click("#backups-more")
	}
	p.wait("all rows", fmt.Sprintf("document.querySelectorAll('[data-testid^=row-]').length === %d", len(all)))
	p.says(row(all[len(all)-1]), "the first")
	must[any](p, "snapdShifts.length = 0, null")
	before := p.worked()
	frames := must[int](p, `new Promise(done => {
		let frames = 0;
		const step = () => { window.scrollBy({top: 400, behavior: 'instant'}); frames++;
			if (frames < 100) requestAnimationFrame(step); else done(frames); };
		requestAnimationFrame(step); })`)
	p.do("turn the wheel", chromedp.Func(func(ctx context.Context, tg *chromedp.Target) error {
		return tg.Call(ctx, input.CommandDispatchMouseEvent, map[string]any{"type": "mouseWheel", "x": 640, "y": 400, "deltaX": 0, "deltaY": 2000}, nil)
	}))
	each := (p.worked() - before) / time.Duration(frames)
	t.Logf("%v of work for each frame of scrolling", each)
	if each > frameBudget {
		t.Errorf("scrolling takes %v of work for each frame, at most %v", each, frameBudget)
	}
	p.steady("after scrolling")
}

// multiply makes many backups of one, an hour apart, by linking its archive: what
// is listed is the catalog's.
func (s *site) multiply(b snapshot.Backup, total int) {
	s.t.Helper()
	cat, err := catalogfile.Open(s.manager.Dir(), "data")
	if err != nil {
		s.t.Fatal(err)
	}
	err = cat.Update(s.t.Context(), func(tx *catalogfile.Tx) error {
		for i := 1; i < total; i++ {
			e := b
			e.CreatedAt = b.CreatedAt.Add(time.Duration(i) * time.Hour)
			e.ID = fmt.Sprintf("data_backup_MANUAL_%s", e.CreatedAt.Format("20060102_150405"))
			e.File, e.Seq, e.Note = strings.Replace(b.File, b.ID, e.ID, 1), tx.NextSeq(), fmt.Sprintf("number %d", i)
			if err := os.Link(s.manager.ArchivePath(b), filepath.Join(s.manager.Dir(), e.File)); err != nil {
				return err
			}
			if err := tx.Put(e); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		s.t.Fatal(err)
	}
}

// worked is how much processor time the page's main thread has taken, with anything else
// the machine is doing.
func (p *tab) worked() (total time.Duration) {
	p.t.Helper()
	p.do("read the page's metrics", chromedp.Func(func(ctx context.Context, tg *chromedp.Target) error {
		if _, err := cdp.Call(ctx, tg, performance.Enable, performance.EnableParams{TimeDomain: performance.EnableTimeDomainThreadTicks}); err != nil {
			return err
		}
		all, err := cdp.Call(ctx, tg, performance.GetMetrics, cdp.Empty{})
		if err != nil {
			return err
		}
		for _, m := range all.Metrics {
			if m.Name == "TaskDuration" {
				total = time.Duration(m.Value * float64(time.Second))
			}
		}
		return nil
	}))
	return total
}
