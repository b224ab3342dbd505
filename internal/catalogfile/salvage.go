package catalogfile

import (
	"bufio"
	"bytes"
	"encoding/json"
	"io"
	"regexp"
	"strconv"

	"example.com/snapd/catalog"
)

// maxLine is more than an entry's line can have: a note and a source at
// their limits, escaped, and the rest.
const maxLine = 6*maxNote + maxSource + 64<<10

var nextSeqMember = regexp.MustCompile(`"next_seq":\s*([0-9]{1,16})[,}\s]`)

// salvage collects what a damaged text still says line by line: entries, for
// their pins and notes, and the highest number seen. It is a hint, no more: the
// entries themselves come from the archives. It holds one line at a time.
func salvage(text io.Reader) *document {
	d := newDocument()
	seen := make(map[string]struct{})
	lines := bufio.NewReaderSize(io.LimitReader(text, maxCatalog), maxLine)
	cutOff := false // the line is longer than maxLine: none of ours
	for first := true; ; first = false {
		line, more, err := lines.ReadLine()
		if err != nil {
			return d // at the end, or what cannot be read cannot help: the archives have the rest
		}
		if first {
			d.salvageNextSeq(line)
		}
		if whole := !more && !cutOff; whole {
			d.salvageEntry(line, seen)
		}
		cutOff = more
	}
}

func (d *document) salvageNextSeq(line []byte) {
	m := nextSeqMember.FindSubmatch(line)
	if m == nil {
		return
	}
	if n, err := strconv.ParseUint(string(m[1]), 10, 64); err == nil && n <= maxClaim {
		d.nextSeq = max(d.nextSeq, n)
	}
}

func (d *document) salvageEntry(line []byte, seen map[string]struct{}) {
	line = bytes.TrimRight(bytes.TrimSpace(line), ",")
	if len(line) == 0 || line[0] != '{' {
		return
	}
	var e catalog.Entry
	if json.Unmarshal(line, &e) != nil {
		return
	}
	normalise(&e)
	if _, twice := seen[e.ID]; twice || validateEntry(&e) != nil {
		return
	}
	// The damage may be in this very line, and no pin may be lost to it.
	e.Pinned = !bytes.Contains(line, []byte(`"pinned":false`))
	seen[e.ID] = struct{}{}
	d.entries = append(d.entries, e)
	d.nextSeq = max(d.nextSeq, min(e.Seq+1, maxClaim))
}
