package points

import (
	"context"
	"encoding/json"
	"math/rand/v2"
	"testing"
	"time"

	"example.com/snapd/catalog"
	"example.com/snapd/internal/archive"
	"example.com/snapd/internal/changes"
)

// benchLog makes the change log of two days with a capture each second, sealed each five minutes but for the last ones.
func benchLog(b *testing.B, backups string, captures int) []catalog.Entry {
	b.Helper()
	const pageSize, perSegment = 4096, 300
	seed := archive.Seed(3)
	l, err := changes.Open(Directory(backups, 1), changes.Head{Timeline: 1, Database: "data", Base: "base", PageSize: pageSize, PageSeed: seed.String()})
	if err != nil {
		b.Fatal(err)
	}
	defer l.Close()
	page := make([]byte, pageSize)
	rng := rand.NewChaCha8([32]byte{1})
	at := time.Date(2025, 10, 31, 12, 0, 0, 0, time.UTC)
	source, err := json.Marshal(map[string]any{"files": map[string]any{"taken_at": at, "main": fileState, "wal": fileState, "journal": fileState}})
	if err != nil {
		b.Fatal(err)
	}
	for seq := 1; seq <= captures; seq++ {
		rng.Read(page[:100])
		var sum archive.Sum
		sum.Add(archive.PageDigest(seed, 1, page))
		c := changes.Capture{Seq: uint64(seq), From: at, At: at.Add(time.Second), Commits: 3, Pages: 1, Sum: sum.Digits(), Source: source}
		at = c.At
		if err := l.Append(b.Context(), c, []uint32{1}, func(_ uint32, p []byte) error { copy(p, page); return nil }); err != nil {
			b.Fatal(err)
		}
		if seq%perSegment == 0 && seq < captures {
			if err := l.Seal(); err != nil {
				b.Fatal(err)
			}
		}
	}
	return []catalog.Entry{{ID: "base", Seq: 1, Kind: catalog.Auto, File: "base.db.zst", CreatedAt: at.Add(-60 * time.Hour), PageSize: pageSize, PageCount: 1,
		Timeline: catalog.Timeline{Number: 1}, Verification: catalog.Verification{State: catalog.Verified}}}
}

var fileState = map[string]any{"present": true, "size": 1 << 30, "mtime": 1796048829628721120, "ctime": 1796048829628721120,
	"id": map[string]any{"Dev": 65024, "Ino": 12501437}, "head": "377f0682002de2180000100000000001c1a0807c05d5fe7c5267a3d4884e507e"}

// BenchmarkTwoDays reads 172,800 points: cold, as a command does, and with what a service keeps.
func BenchmarkTwoDays(b *testing.B) {
	const captures = 172_800
	dir := b.TempDir()
	entries := benchLog(b, dir, captures)
	read := func(b *testing.B, cache *Cache) *Set {
		s, err := Read(context.Background(), cache, dir, entries, catalog.State{})
		if err != nil || len(s.Damaged) > 0 {
			b.Fatal(err, s.Damaged)
		}
		return s
	}
	list := func(b *testing.B, s *Set, limit, want int) {
		if page, _, err := s.List(Query{Limit: limit}); err != nil || len(page) != want {
			b.Fatal(len(page), err)
		}
	}
	for _, kept := range []bool{false, true} {
		name := "cold"
		cache := (*Cache)(nil)
		if kept {
			name, cache = "kept", &Cache{}
			read(b, cache)
		}
		b.Run(name+"/newest 20", func(b *testing.B) {
			for b.Loop() {
				list(b, read(b, cache), 20, 20)
			}
		})
		b.Run(name+"/all", func(b *testing.B) {
			for b.Loop() {
				list(b, read(b, cache), 0, captures+1)
			}
		})
		b.Run(name+"/at", func(b *testing.B) {
			for b.Loop() {
				if _, err := read(b, cache).At(time.Date(2025, 11, 1, 0, 0, 0, 0, time.UTC)); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
	b.Run("cold/find", func(b *testing.B) {
		for b.Loop() {
			if _, _, err := Find(context.Background(), dir, "1.100000", entries, catalog.State{}); err != nil {
				b.Fatal(err)
			}
		}
	})
}
