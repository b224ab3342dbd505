package catalog

import (
	"bytes"
	"encoding/json"
	"testing"
	"time"
)

// Lost: scripts that read what list prints, when it is no longer what encoding/json makes
// of a backup: a new member that is missing, or a note that ends the string.
func TestAppendIndentedIsWhatJSONWrites(t *testing.T) {
	entries := sample(3).entries
	entries = append(entries, Entry{}, entries[0])
	last := &entries[4]
	last.Verification.At, last.Pinned, last.Source = nil, true, nil
	last.CreatedAt = time.Date(2025, 10, 31, 12, 0, 0, 123456789, time.FixedZone("", 5400))
	for _, s := range []string{"", "plain", `"quoted" \ `, "<a href='x'>&amp;", "line\nand\ttab\x00\x1f\x7f", "é ☃ \u2028\u2029 \U0001F600", "broken \xff\xc3", "\ufffd"} {
		last.Note, last.Verification.Detail = s, s
		for i := range entries {
			var want bytes.Buffer
			enc := json.NewEncoder(&want)
			enc.SetEscapeHTML(false)
			enc.SetIndent("    ", "  ")
			if err := enc.Encode(entries[i].Public()); err != nil {
				t.Fatal(err)
			}
			if got := entries[i].AppendIndented(nil, "    ", "  "); string(got)+"\n" != want.String() {
				t.Errorf("written as\n%s\nwant\n%s", got, want.Bytes())
			}
		}
	}
}
