package recovery

import (
	"errors"
	"math/bits"
	"testing"
)

// Lost: seconds of work, to a search that stops at an older point than it need; or hours, to one that looks at each.
func TestNewestSoundLooksAtFew(t *testing.T) {
	t.Parallel()
	for n := range 200 {
		for first := range n + 1 {
			looks := 0
			got, err := newestSound(n, func(i int) (bool, error) {
				looks++
				return i >= first, nil
			})
			if got != first || err != nil || looks > 2*bits.Len(uint(n))+1 {
				t.Errorf("of %d the %d. is the newest sound one: found %d after %d looks, %v", n, first, got, looks, err)
			}
		}
	}
	failed := errors.New("the disk is full")
	if _, err := newestSound(3, func(int) (bool, error) { return false, failed }); !errors.Is(err, failed) {
		t.Errorf("a look that failed: %v", err)
	}
}
