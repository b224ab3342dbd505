package changes

import (
	"testing"
	"time"
)

func TestParseSealed(t *testing.T) {
	t.Parallel()
	at := time.Date(2025, 10, 31, 12, 0, 0, 0, time.UTC)
	name := sealedName(4711, 5822, at.In(time.FixedZone("", 3600)))
	if s, ok := ParseSealed(name); !ok || s != (Sealed{name, 4711, 5822, at}) || name != "000004711-000005822_20251031_120000.chg.zst" {
		t.Errorf("%s: %+v, %v", name, s, ok)
	}
	if s, ok := ParseSealed(sealedName(1, 1<<40, at)); !ok || s.Last != 1<<40 {
		t.Errorf("a large number: %+v, %v", s, ok)
	}
	for _, name := range []string{
		"open.chg", "", ".chg.zst", "000000001-000000002_20251031_120000.chg", "000000000-000000002_20251031_120000.chg.zst",
		"000000003-000000002_20251031_120000.chg.zst", "1-2_20251031_120000.chg.zst", "000000001-000000002_20251331_120000.chg.zst",
		"000000001-000000002.chg.zst", "000000001-000000002_20251031_120000_2.chg.zst",
	} {
		if s, ok := ParseSealed(name); ok {
			t.Errorf("%q: %+v", name, s)
		}
	}
}
