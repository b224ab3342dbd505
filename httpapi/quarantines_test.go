package httpapi

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"example.com/snapd/snapshot"
)

const keptName = "corrupted_20251031_120500"

// keep puts a damaged database with its report into the backup directory.
func (a *api) keep(name string) {
	a.t.Helper()
	for ending, text := range map[string]string{".db": "damaged", ".json": `{"verdict":"corrupt","findings":[{"code":"btree_page","message":"table t: a page\nis lost"}],"unrestored":3}`} {
		if err := os.WriteFile(filepath.Join(a.m.Dir(), name+ending), []byte(text), 0o600); err != nil {
			a.t.Fatal(err)
		}
	}
}

// kept is the case with a damaged database that was kept.
func kept(c routeCase) routeCase {
	do := c.do
	c.do = func(tb *table) answer {
		tb.keep(keptName)
		return do(tb)
	}
	return c
}

// Lost: the last copy of some rows, removed by a person who did not hear of them; and a disk, to copies
// that no one sees.
func TestQuarantinesAreListedCountedAndRemoved(t *testing.T) {
	a := openAPI(t, nil)
	a.backup("one")
	a.keep(keptName)
	a.keep(keptName + "_2")
	var list quarantineList
	a.ask("GET", "/quarantines", "").into(200, &list)
	if len(list.Quarantines) != 2 {
		t.Fatalf("%+v", list)
	}
	q := list.Quarantines[0]
	if q.Name != keptName || q.Verdict != "corrupt" || q.Found != "table t: a page; is lost" || q.Unrestored == nil || *q.Unrestored != 3 || q.Bytes < 7 {
		t.Errorf("%+v", q)
	}
	if text := string(a.ask("GET", "/metrics", "").body); !strings.Contains(text, "snapd_quarantines 2\n") || !strings.Contains(text, "snapd_quarantines_bytes ") {
		t.Error("not counted in the metrics")
	}
	if r := a.ask("DELETE", "/quarantines/"+keptName, ""); r.status != 204 {
		t.Fatalf("%+v", r)
	}
	a.ask("GET", "/quarantines", "").into(200, &list)
	if len(list.Quarantines) != 1 || list.Quarantines[0].Name != keptName+"_2" {
		t.Errorf("%+v", list)
	}
	log, _, err := a.m.Activity("", 10)
	if err != nil || len(log) == 0 || log[0].Action != string(snapshot.OpDelete) || !strings.Contains(log[0].Detail, "3 rows") {
		t.Errorf("%+v %v", log, err)
	}
	var s snapshot.Status
	a.ask("GET", "/status", "").into(200, &s)
	if len(s.Quarantined) != 1 {
		t.Errorf("%+v", s.Quarantined)
	}
}
