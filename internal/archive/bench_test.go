package archive

import (
	"context"
	"io"
	"sync"
	"testing"
)

const benchBytes = 64 << 20

var benchImage = sync.OnceValue(func() []byte { return crmImage(benchBytes, 4096, 1) })

func BenchmarkWriter(b *testing.B) {
	for _, bm := range []struct {
		name  string
		level Level
		frame int
	}{
		{"fastest/1MiB", Fastest, 1 << 20},
		{"fastest/4MiB", Fastest, 4 << 20},
		{"fastest/256KiB", Fastest, 256 << 10},
		{"default/1MiB", Default, 1 << 20},
	} {
		b.Run(bm.name, func(b *testing.B) {
			image := benchImage()
			b.SetBytes(int64(len(image)))
			b.ReportAllocs()
			for b.Loop() {
				w, err := NewWriter(io.Discard, WriterOptions{PageSize: 4096, Level: bm.level, FrameBytes: bm.frame})
				if err != nil {
					b.Fatal(err)
				}
				if _, err := w.Write(image); err != nil {
					b.Fatal(err)
				}
				info, err := w.Finish(Facts{})
				if err != nil {
					b.Fatal(err)
				}
				b.ReportMetric(float64(info.ImageBytes)/float64(info.ArchiveBytes), "ratio")
			}
		})
	}
}

func BenchmarkCopyTo(b *testing.B) {
	for _, bm := range []struct {
		name  string
		frame int
	}{{"1MiB", 1 << 20}, {"4MiB", 4 << 20}} {
		b.Run(bm.name, func(b *testing.B) {
			stored, _ := pack(b, benchImage(), WriterOptions{PageSize: 4096, FrameBytes: bm.frame})
			r := open(b, stored)
			b.SetBytes(benchBytes)
			b.ReportAllocs()
			for b.Loop() {
				if err := r.CopyTo(context.Background(), io.Discard, CopyOptions{}); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkPageDigest is what every page costs on every way in and out.
func BenchmarkPageDigest(b *testing.B) {
	page := benchImage()[:4096]
	b.SetBytes(int64(len(page)))
	for i := range b.N {
		PageDigest(7, int64(i), page)
	}
}
