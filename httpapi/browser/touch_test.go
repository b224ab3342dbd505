package browser

import (
	"context"
	"fmt"
	"strings"

	"github.com/chromedp/cdproto/accessibility"
	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
)

// hook is the selector of an element with a data-testid.
func hook(id string) string { return `[data-testid="` + id + `"]` }

// found is an expression for the first visible element that matches the selector.
func found(selector string) string {
	return "[...document.querySelectorAll(" + quote(selector) + ")].find(e => e.checkVisibility({visibilityProperty: true, opacityProperty: true}))"
}

// sees waits until the element is there and visible.
func (p *tab) sees(selector string) {
	p.t.Helper()
	p.wait("look for "+selector, found(selector))
}

// gone waits until no such element is visible.
func (p *tab) gone(selector string) {
	p.t.Helper()
	p.wait("wait for the end of "+selector, "!"+found(selector))
}

// says waits until the element's text contains all the words.
func (p *tab) says(selector string, words ...string) {
	p.t.Helper()
	for _, word := range words {
		p.wait("read "+selector, text(selector)+".toLowerCase().includes("+quote(strings.ToLower(word))+")")
	}
}

// text is an expression for the visible text of an element, on one line.
func text(selector string) string {
	return `(e => !e ? '' : e.innerText.replace(/\s+/g, ' '))(` + found(selector) + ")"
}

// read is the visible text of the element, on one line.
func (p *tab) read(selector string) string {
	p.t.Helper()
	p.sees(selector)
	return must[string](p, text(selector))
}

// click presses the mouse where the element is: only where nothing covers it, and
// it is enabled and does not move. A press that hits nothing, because the element
// moved away in that moment, is made again, as a person would; one that hits
// something else must never be met.
func (p *tab) click(selector string) {
	p.t.Helper()
	ready := `(async () => {
	const find = () => ` + found(selector) + `;
	find()?.scrollIntoView({block: 'center', behavior: 'instant'});
	const place = () => JSON.stringify(find()?.getBoundingClientRect());
	const before = place();
	for (let i = 0; i < 3; i++) await new Promise(requestAnimationFrame);
	const e = find();
	if (!e || e.matches(':disabled, [aria-disabled="true"], [aria-busy="true"]') || place() !== before) return false;
	const r = e.getBoundingClientRect(), x = r.x + r.width/2, y = r.y + r.height/2, top = document.elementFromPoint(x, y);
	if (!top || !(e.contains(top) || top.closest('label')?.control === e)) return false;
	window.snapdPoint = [x, y];
	window.snapdHit = '';
	addEventListener('click', c => {
		const hit = c.target.closest('button, a, input, label, summary');
		const it = [e, find()].some((i) => i?.contains(c.target) || i && hit?.control === i); // drawn again meanwhile, it is the same to a person
		window.snapdHit = it ? 'it' : hit ? hit.outerHTML.slice(0, 200) : '';
	}, {capture: true, once: true});
	return true; })()`
	for range 5 {
		p.wait("click "+selector, ready)
		point := must[[2]float64](p, "window.snapdPoint")
		p.do("click "+selector, chromedp.MouseClickXY(point[0], point[1]))
		switch hit, err := ask[string](p, "window.snapdHit ?? 'it'"); {
		case err != nil || hit == "it": // an error: the click led to another page
			return
		case hit != "":
			p.t.Fatalf("click %s: the page moved, and %s was hit", selector, hit)
		}
	}
	p.t.Fatalf("click %s: it moved away five times", selector)
}

// types types text into the element that has the focus.
func (p *tab) types(text string) {
	p.t.Helper()
	p.do("type "+text, chromedp.KeyEvent(text))
}

// fill replaces what stands in a field, as a person would.
func (p *tab) fill(selector, text string) {
	p.t.Helper()
	p.click(selector)
	p.wait("focus "+selector, "document.activeElement === "+found(selector))
	must[any](p, "document.activeElement.select()")
	if text == "" {
		p.types(kb.Delete)
		return
	}
	p.types(text)
}

// press presses one key.
func (p *tab) press(key string, modifiers ...chromedp.Modifier) {
	p.t.Helper()
	p.do("press "+fmt.Sprintf("%q", key), chromedp.KeyEvent(key, chromedp.KeyModifiers(modifiers...)))
}

// focused reports what has the focus: its data-testid, data-action, id or tag.
func (p *tab) focused() string {
	p.t.Helper()
	return must[string](p, `(e => e.dataset.testid || e.dataset.action || e.id || e.tagName.toLowerCase())(document.activeElement)`)
}

// tabTo presses Tab, at most limit times, until the element has the focus.
func (p *tab) tabTo(selector string, limit int) {
	p.t.Helper()
	var seen []string
	for n := 0; ; n++ {
		if must[bool](p, "document.activeElement?.matches("+quote(selector)+") ?? false") {
			break
		}
		if n == limit {
			p.t.Fatalf("%d times Tab did not lead to %s, but to %v", limit, selector, seen)
		}
		p.press(kb.Tab)
		seen = append(seen, p.focused())
	}
	if !must[bool](p, "document.activeElement.matches(':focus-visible')") {
		p.t.Errorf("%s has the focus, and does not show it", selector)
	}
}

// axNode is one node of the accessibility tree.
type axNode struct{ role, name string }

// heard is what assistive software gets: the accessibility tree, in order.
func (p *tab) heard() (nodes []axNode) {
	p.t.Helper()
	p.do("read the accessibility tree", chromedp.Func(func(ctx context.Context, tg *chromedp.Target) error {
		tree, err := cdp.Call(ctx, tg, accessibility.GetFullAXTree, accessibility.GetFullAXTreeParams{})
		if err != nil {
			return err
		}
		for _, n := range tree.Nodes {
			if !n.Ignored {
				nodes = append(nodes, axNode{axText(n.Role), axText(n.Name)})
			}
		}
		return nil
	}))
	return nodes
}

func axText(v *accessibility.Value) string {
	if v == nil {
		return ""
	}
	return strings.Trim(string(v.Value), `"`)
}

// hears fails the test unless the tree has a node of the role whose name contains
// the words.
func (p *tab) hears(role, words string) {
	p.t.Helper()
	var near []string
	for _, n := range p.heard() {
		if n.role == role {
			if strings.Contains(strings.ToLower(n.name), strings.ToLower(words)) {
				return
			}
			near = append(near, n.name)
		}
	}
	p.t.Errorf("assistive software hears no %s with %q, only %q", role, words, near)
}
