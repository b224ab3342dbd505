package browser

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"

	"example.com/snapd/internal/testdb"
)

// axeSource is the text of axe-core, read once.
var axeSource = sync.OnceValues(func() (string, error) {
	text, err := os.ReadFile(filepath.Join("axe", "node_modules", "axe-core", "axe.min.js"))
	return string(text), err
})

// settled brings the page to what people see when they look: transitions ended, for
// halfway they have colours that are not meant to be read.
const settled = `new Promise(requestAnimationFrame).then(() => {
	for (const a of document.getAnimations()) if (a.effect?.getComputedTiming().endTime < 5000) a.finish();
	return null; })`

// accessible has axe-core judge what the page shows now: WCAG 2.2 A and AA, and
// what its authors call best practice. DevTools may evaluate what the policy of the
// page forbids to the page itself.
func (p *tab) accessible(state string) {
	p.t.Helper()
	source, err := axeSource()
	if err != nil {
		testdb.Lacking(p.t, "axe-core", "make tools")
		return
	}
	if !must[bool](p, "typeof axe === 'object'") {
		must[any](p, source+"; null")
	}
	must[any](p, settled)
	type violation struct {
		ID, Impact, Help string
		Nodes            []struct {
			Target         []any
			FailureSummary string
			HTML           string
		}
	}
	violations := must[[]violation](p, `axe.run(document, {resultTypes: ['violations'], runOnly: ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa', 'best-practice']})
	.then(r => r.violations.map(v => ({ID: v.id, Impact: v.impact, Help: v.help,
		Nodes: v.nodes.slice(0, 5).map(n => ({Target: n.target, FailureSummary: n.failureSummary, HTML: n.html.slice(0, 200)}))})))`)
	for _, v := range violations {
		var where []string
		for _, n := range v.Nodes {
			where = append(where, fmt.Sprintf("  %v\n    %s\n    %s", n.Target, n.HTML, strings.ReplaceAll(n.FailureSummary, "\n", "\n    ")))
		}
		p.t.Errorf("%s: axe %s (%s): %s\n%s", state, v.ID, v.Impact, v.Help, strings.Join(where, "\n"))
	}
}
