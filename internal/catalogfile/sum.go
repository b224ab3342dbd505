package catalogfile

import (
	"bytes"
	"fmt"
	"hash/crc32"
)

// The last member of catalog.json is the CRC-32C, in lower-case hex, of the text
// before it: no single flipped bit and no damaged run of up to 32 bits gets past it.
// A text without a sum claims nothing. A text whose bytes are not those that were
// summed is good when it still means the same: it was laid out again, or the damage
// changed nothing.
const (
	sumForm  = `,"sum":"%08x"}`
	sumBytes = len(`,"sum":"01234567"}`)
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// sumOf returns the end of a text that begins with body.
func sumOf(body []byte) []byte {
	return fmt.Appendf(nil, sumForm, crc32.Checksum(body, castagnoli))
}

// sumFits reports whether text ends with the sum of what is before it.
func sumFits(text []byte) bool {
	at := max(0, len(text)-sumBytes)
	return bytes.Equal(text[at:], sumOf(text[:at]))
}

// means reports whether d, written again, has that sum.
func (d *document) means(sum string) bool {
	text, err := encode(d)
	return err == nil && bytes.HasSuffix(text, fmt.Appendf(nil, `"%s"}`, sum))
}

// versionDamaged reports whether text is of this version but for the version's number:
// that must not look like a newer program's catalog, which stays untouched for ever.
func versionDamaged(text []byte) bool {
	_, rest, found := bytes.Cut(text, []byte(","))
	return found && sumFits(append(fmt.Appendf(nil, `{"version":%d,`, version), rest...))
}
