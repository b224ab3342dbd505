//go:build soak

package catalogfile

import (
	"bytes"
	"testing"
)

// Lost: what TestEveryBitFlipOfTheCatalog and TestEveryTruncationOfTheCatalog keep, on
// the way through the file system. Writes some 50,000 small files, one after the other.
func TestSoakEveryDamagedCatalogOnDisk(t *testing.T) {
	s := newSpecimen(t)
	for i := range s.text {
		onDisk(t, s, s.text[:i])
		for bit := range 8 {
			text := bytes.Clone(s.text)
			text[i] ^= 1 << bit
			onDisk(t, s, text)
		}
	}
}
