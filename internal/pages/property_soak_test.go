//go:build soak

package pages

import (
	"math/rand/v2"
	"testing"
	"time"

	"example.com/snapd/internal/testdb"
)

// The same as TestImageWhileOthersWork, with page sizes and vacuum modes in turn, for
// as long as the soak goes.
func TestImagesWhileOthersWorkForLong(t *testing.T) {
	t.Parallel()
	end := time.Now().Add(testdb.SoakTime(t))
	sum := new(happened)
	r := rand.New(rand.NewPCG(uint64(time.Now().UnixNano()), 0))
	for i := 0; time.Now().Before(end) && !t.Failed(); i++ {
		v := variant{512 << (i % 8), "wal", vacuumModes[i/8%3], i/24%2 == 0, r.Uint64()}
		if r.IntN(3) == 0 {
			v.journal = rollbackModes[r.IntN(3)]
		}
		t.Run(v.String(), func(t *testing.T) { play(t, v, 10, sum) })
	}
	sum.enough(t)
}
