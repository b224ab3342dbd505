package catalog

import (
	"bytes"
	"fmt"
	"hash/crc32"
	"math/bits"
	"strings"
)

// The last member of catalog.json is the CRC-32C, in lower-case hex, of the text
// before it: no single flipped bit and no damaged run of up to 32 bits gets past it.
// A text without a sum, as earlier versions wrote it, claims nothing. One whose
// bytes are not those that were summed is good when it still means the same: it was
// laid out anew, or the damage changed nothing.
const (
	sumName  = `,"sum":"`
	sumEnd   = `"}`
	sumChars = 8
	sumBytes = len(sumName) + sumChars + len(sumEnd)
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// appendSum ends text, which lacks the last brace.
func appendSum(text []byte) []byte {
	return append(fmt.Appendf(text, sumName+"%0*x", sumChars, crc32.Checksum(text, castagnoli)), sumEnd...)
}

// cutSum takes the sum, "" when there is none in our layout, and the last brace
// off text; body is nil where that is missing.
func cutSum(text []byte) (body []byte, sum string) {
	if at := len(text) - sumBytes; at >= 0 {
		tail := string(text[at:])
		if strings.HasPrefix(tail, sumName) && strings.HasSuffix(tail, sumEnd) {
			return text[:at], tail[len(sumName) : len(sumName)+sumChars]
		}
	}
	if body, whole := bytes.CutSuffix(text, []byte("}")); whole {
		return body, ""
	}
	return nil, ""
}

// sumFits reports whether sum is that of the parts, one after the other.
func sumFits(sum string, parts ...[]byte) bool {
	crc := uint32(0)
	for _, p := range parts {
		crc = crc32.Update(crc, castagnoli, p)
	}
	return fmt.Sprintf("%0*x", sumChars, crc) == sum
}

// means reports whether d, written again, has that sum.
func (d *document) means(sum string) bool {
	text, err := encode(d)
	if err != nil {
		return false
	}
	_, again := cutSum(text)
	return again == sum
}

// versionDamaged reports whether body is of this version, with one bit of its number
// flipped: that must not look like a newer program's catalog, which nobody touches.
func versionDamaged(body []byte, sum string) bool {
	head, rest, ok := bytes.Cut(body, []byte(","))
	was := fmt.Appendf(nil, `{"version":%d`, version)
	last := len(was) - 1
	if !ok || sum == "" || len(head) != len(was) || bits.OnesCount8(head[last]^was[last]) != 1 {
		return false
	}
	return bytes.HasPrefix(head, was[:last]) && sumFits(sum, was, []byte(","), rest)
}
