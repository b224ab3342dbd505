package catalogfile

import (
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
// off text; body is "" where that is missing.
func cutSum(text string) (body, sum string) {
	if at := len(text) - sumBytes; at >= 0 {
		tail := text[at:]
		if strings.HasPrefix(tail, sumName) && strings.HasSuffix(tail, sumEnd) {
			return text[:at], tail[len(sumName) : len(sumName)+sumChars]
		}
	}
	if body, whole := strings.CutSuffix(text, "}"); whole {
		return body, ""
	}
	return "", ""
}

// sumFits reports whether sum is that of the parts, one after the other.
func sumFits(sum string, parts ...string) bool {
	crc := uint32(0)
	buf := make([]byte, 16<<10) // a copy of the whole text costs more than its checksum
	for _, p := range parts {
		for p != "" {
			n := copy(buf, p)
			crc, p = crc32.Update(crc, castagnoli, buf[:n]), p[n:]
		}
	}
	return fmt.Sprintf("%0*x", sumChars, crc) == sum
}

// means reports whether d, written again, has that sum.
func (d *document) means(sum string) bool {
	text, err := encode(d)
	if err != nil {
		return false
	}
	_, again := cutSum(string(text))
	return again == sum
}

// versionDamaged reports whether body is of this version, with one bit of its number
// flipped: that must not look like a newer program's catalog, which nobody touches.
func versionDamaged(body, sum string) bool {
	head, rest, ok := strings.Cut(body, ",")
	was := fmt.Sprintf(`{"version":%d`, version)
	last := len(was) - 1
	if !ok || sum == "" || len(head) != len(was) || bits.OnesCount8(head[last]^was[last]) != 1 {
		return false
	}
	return strings.HasPrefix(head, was[:last]) && sumFits(sum, was, ",", rest)
}
