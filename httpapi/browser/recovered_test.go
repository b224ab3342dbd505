package browser

import (
	"testing"

	"example.com/snapd/internal/testdb"
)

// A recovery at night that lost something is on the page until a person has said that they
// know, and the damaged database is red before it.
func TestRecoveryStaysUntilItIsAcknowledged(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.manual("all is well")
	s.exec("DELETE FROM contacts")
	s.breakDatabase()
	for pgno := int64(2); pgno < 20; pgno++ { // so that no repair has all the rows
		testdb.Overwrite(t, s.config.Database, (pgno-1)*4096, make([]byte, 4096))
	}
	p := s.open(desktop)
	p.says(hook("state-reason"), "damaged")
	p.wait("red", `document.getElementById("hero").dataset.state === "unprotected"`)
	p.says("#fact-next-detail", "until the database is repaired")
	p.gone(hook("recovered-banner"))

	if _, err := s.manager.Recover(t.Context()); err != nil {
		t.Fatal(err)
	}
	p.says(hook("recovered-banner"), "something was lost", "all changes since", "corrupted_")
	p.accessible("after a recovery")
	p = s.open(desktop) // another day
	p.says(hook("recovered-banner"), "something was lost")
	p.gone(hook("undo-banner")) // there is no going back to what was damaged
	p.click(hook("recovered-seen"))
	p.gone(hook("recovered-banner"))
	if st, err := s.manager.Status(t.Context()); err != nil || len(st.Recovered) > 0 {
		t.Errorf("%+v %v", st.Recovered, err)
	}
	p = s.open(desktop)
	p.gone(hook("recovered-banner"))
}
