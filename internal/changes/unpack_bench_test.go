package changes

import (
	"context"
	"encoding/binary"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"example.com/snapd/internal/archive"
)

// benchWords are what pages are made of.
var benchWords = func() (words [512][8]byte) {
	rng := rand.New(rand.NewPCG(3, 4))
	for i := range words {
		binary.LittleEndian.PutUint64(words[i][:], rng.Uint64())
	}
	return words
}()

// benchPage fills a page with what compresses about as a database does: to a third.
func benchPage(rng *rand.Rand, page []byte) {
	for i := 0; i < len(page); i += 8 {
		copy(page[i:], benchWords[rng.Uint32()%uint32(len(benchWords))][:])
	}
}

// A point 12 hours after its base: a capture each 2 seconds, of 10 pages, mostly those that change often. The
// base alone is what it is compared with.
func BenchmarkUnpack(b *testing.B) {
	const pageSize, pages, captures, changed = 4096, 256 << 20 / 4096, 21600, 10
	rng := rand.New(rand.NewPCG(1, 2))
	image := make([]byte, pages*pageSize)
	for p := range pages {
		benchPage(rng, image[p*pageSize:][:pageSize])
	}
	base := filepath.Join(b.TempDir(), "base")
	f, err := os.Create(base)
	if err != nil {
		b.Fatal(err)
	}
	w, err := archive.NewWriter(f, archive.WriterOptions{PageSize: pageSize, Seed: testSeed})
	if err != nil {
		b.Fatal(err)
	}
	if _, err := w.Write(image); err != nil {
		b.Fatal(err)
	}
	if _, err := w.Finish(archive.Facts{}); err != nil {
		b.Fatal(err)
	}
	f.Close()
	r, err := archive.Open(base)
	if err != nil {
		b.Fatal(err)
	}
	defer r.Close()
	l, err := Open(filepath.Join(b.TempDir(), "1"), testHead(pageSize))
	if err != nil {
		b.Fatal(err)
	}
	defer l.Close()
	sum := r.Shape().Sum
	at := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	for seq := range uint64(captures) {
		set := map[uint32]bool{}
		for range changed {
			n := rng.Float64()
			set[1+uint32(n*n*n*pages)] = true
		}
		var numbers []uint32
		for pgno := range set {
			numbers = append(numbers, pgno)
			page := image[int(pgno-1)*pageSize:][:pageSize]
			sum.Sub(archive.PageDigest(testSeed, int64(pgno), page))
			benchPage(rng, page)
			sum.Add(archive.PageDigest(testSeed, int64(pgno), page))
		}
		slices.Sort(numbers)
		c := Capture{Seq: seq + 1, From: at, At: at.Add(2 * time.Second), Pages: pages, Sum: sum.Digits()}
		at = c.At
		if err := l.Append(context.Background(), c, numbers, func(pgno uint32, page []byte) error {
			copy(page, image[int(pgno-1)*pageSize:])
			return nil
		}); err != nil {
			b.Fatal(err)
		}
		if size, _ := l.OpenBytes(); size > SealedBytes {
			if err := l.Seal(); err != nil {
				b.Fatal(err)
			}
		}
	}
	image = nil
	to, err := os.Create(filepath.Join(b.TempDir(), "to"))
	if err != nil {
		b.Fatal(err)
	}
	defer to.Close()
	run := func(unpack func() error) func(b *testing.B) {
		return func(b *testing.B) {
			b.SetBytes(pages * pageSize)
			for b.Loop() {
				if _, err := to.Seek(0, 0); err != nil {
					b.Fatal(err)
				}
				if err := unpack(); err != nil {
					b.Fatal(err)
				}
			}
		}
	}
	b.Run("base", run(func() error { return r.CopyTo(context.Background(), to, archive.CopyOptions{}) }))
	b.Run("point", run(func() error {
		m, err := l.Map(context.Background(), 0, captures)
		if err != nil {
			return err
		}
		defer m.Close()
		i, err := NewImage(context.Background(), r, m)
		if err != nil {
			return err
		}
		b.ReportMetric(float64(i.Changed()), "changed")
		return i.Unpack(context.Background(), to, archive.CopyOptions{})
	}))
	b.Run("map", func(b *testing.B) {
		for b.Loop() {
			m, err := l.Map(context.Background(), 0, captures)
			if err != nil {
				b.Fatal(err)
			}
			m.Close()
		}
	})
}
