//go:build soak

package archive

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"os/exec"
	"slices"
	"testing"
	"time"

	"example.com/snapd/internal/testdb"
)

// If this fails, some combination of damages gives a wrong image or wrong facts.
func TestSoakCombinedDamage(t *testing.T) {
	all := subjects(t)
	until := time.Now().Add(testdb.SoakTime(t) / 2)
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	tried := 0
	for r := rand.New(rand.NewPCG(seed, 3)); time.Now().Before(until); tried++ {
		s, other := all[r.IntN(len(all))], all[r.IntN(len(all))]
		b := bytes.Clone(s.stored)
		var what []string
		for range 1 + r.IntN(4) {
			var did string
			b, did = damageAtRandom(r, b, other.stored)
			what = append(what, did)
		}
		if bytes.Equal(b, s.stored) {
			continue
		}
		if found, err := judge(b, s, other); err != nil || !found && !bytes.Equal(b, other.stored) {
			t.Fatalf("%s: %q: found %v, %v", s.name, what, found, err)
		}
	}
	t.Logf("%d damaged archives", tried)
}

// damageAtRandom is one accident: bits, runs, or lengths, with bytes of another archive.
func damageAtRandom(r *rand.Rand, b, other []byte) ([]byte, string) {
	if len(b) == 0 {
		return bytes.Clone(other), "replaced"
	}
	at := r.IntN(len(b))
	end := at + r.IntN(min(len(b)-at, 1<<r.IntN(14))+1)
	switch r.IntN(6) {
	case 0:
		bit := r.IntN(8)
		b[at] ^= 1 << bit
		return b, fmt.Sprintf("flip %d.%d", at, bit)
	case 1:
		fill := byte(r.IntN(2) * 0xFF)
		for i := at; i < end; i++ {
			b[i] = fill
		}
		return b, fmt.Sprintf("fill %d-%d %#02x", at, end, fill)
	case 2:
		copy(b[at:end], other[min(at, len(other)):])
		return b, fmt.Sprintf("graft %d-%d", at, end)
	case 3:
		to := r.IntN(len(b))
		copy(b[to:], bytes.Clone(b[at:end]))
		return b, fmt.Sprintf("move %d-%d to %d", at, end, to)
	case 4:
		return slices.Delete(b, at, end), fmt.Sprintf("delete %d-%d", at, end)
	default:
		to := r.IntN(len(b) + 1)
		return slices.Insert(b, to, bytes.Clone(b[at:end])...), fmt.Sprintf("insert %d-%d at %d", at, end, to)
	}
}

// If this fails, who has only zstd gets a wrong database from some flipped bit.
func TestSoakStockZstdOfEveryFlippedBit(t *testing.T) {
	path := testdb.RequireTool(t, "zstd")
	for _, s := range subjects(t) {
		t.Run(s.name, func(t *testing.T) {
			t.Parallel()
			for at := range 8 * len(s.stored) {
				b := bytes.Clone(s.stored)
				b[at/8] ^= 1 << (at % 8)
				cmd := exec.Command(path, "-dc")
				cmd.Stdin = bytes.NewReader(b)
				if got, err := cmd.Output(); err == nil && !bytes.Equal(got, s.image) {
					t.Errorf("byte %d, bit %d: %d other bytes and no error", at/8, at%8, len(got))
				}
			}
		})
	}
}
