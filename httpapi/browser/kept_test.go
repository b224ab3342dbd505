package browser

import (
	"os"
	"path/filepath"
	"testing"
)

// Lost: the last copy of some rows, when it is removed with a click that does not say so.
func TestKeptDatabaseIsShownAndRemoved(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.manual("all is well")
	p := s.open(desktop)
	p.gone(hook("kept"))
	for name, text := range map[string]string{"corrupted_20251031_120500.db": "damaged",
		"corrupted_20251031_120500.json": `{"verdict":"corrupt","findings":[{"message":"a page <b>is lost</b>"}],"unrestored":3}`} {
		if err := os.WriteFile(filepath.Join(s.manager.Dir(), name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	p = s.open(desktop)
	p.says(hook("kept"), "corrupted_20251031_120500", "a page <b>is lost</b>", "3 rows can be read in it")
	p.accessible("with a damaged database that was kept")
	p.click(hook("kept-delete"))
	p.says(hook("dialog-kept"), "corrupted_20251031_120500", "3 rows", "cannot be undone")
	p.accessible("before its removal")
	p.click(hook("dialog-kept-confirm"))
	p.gone(hook("kept"))
	if list, err := s.manager.Quarantines(); err != nil || len(list) != 0 {
		t.Errorf("%+v %v", list, err)
	}
}
