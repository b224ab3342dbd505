package browser

import (
	"fmt"
	"strings"
	"testing"
)

// Three people at once: none may get an error for what another does, and all see
// the same in the end.
func TestThreeAtOnce(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.manual("first")
	const clients = 3
	note := func(i int) string { return fmt.Sprintf("of client %d", i) }
	t.Run("clients", func(t *testing.T) {
		for i := range clients {
			t.Run(fmt.Sprint(i), func(t *testing.T) {
				t.Parallel()
				p := s.openIn(t, desktop)
				p.allow(`^(answer|log network error).*409`) // one operation at a time
				for n := 0; !s.has(note(i)); n++ {
					if n == 50 {
						t.Fatal("never got a backup")
					}
					p.fill(hook("create-note"), note(i))
					p.click(hook("create-submit"))
					p.wait("an answer", "!document.querySelector("+quote(hook("create-submit"))+").matches('[aria-busy=true]')")
				}
				for j := range clients {
					p.says(hook("backups"), note(j))
				}
				s.waitFor("the same figures as the server's", func() bool {
					return strings.Contains(p.read(hook("stats")), fmt.Sprintf("Backups %d ", len(s.backups())))
				})
			})
		}
	})
}

// has reports whether there is a backup with that note.
func (s *site) has(note string) bool {
	for _, b := range s.backups() {
		if b.Note == note {
			return true
		}
	}
	return false
}
