package archive

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"reflect"
	"slices"
	"testing"

	"example.com/snapd/internal/seekable"
	"example.com/snapd/internal/testdb"
)

// A subject is a small archive that damage is tried on, and what is to be read
// from it by every door.
type subject struct {
	name    string
	options WriterOptions
	image   []byte
	stored  []byte
	info    Info
	digests []byte // of every page
}

func newSubject(t testing.TB, name string, o WriterOptions, image []byte) *subject {
	t.Helper()
	o.Workers = 1
	stored, info := pack(t, image, o)
	return &subject{name, o, image, stored, info, appendPageDigests(nil, o.Seed, 1, image, max(o.PageSize, 1))}
}

// noise does not compress: its frames are raw blocks, and as long as each other.
func noise(n int, seed uint64) []byte {
	r := rand.New(rand.NewPCG(seed, 2))
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(r.Uint32())
	}
	return b
}

// subjects have each kind of block, one and several frames of one and several
// pages, and the smallest and largest images.
func subjects(t testing.TB) []*subject {
	mixed := slices.Concat(crmImage(1024, 512, 40), make([]byte, 1024), noise(512, 41), crmImage(1024, 512, 42))
	return []*subject{
		newSubject(t, "no pages", WriterOptions{}, nil),
		newSubject(t, "page size but no pages", WriterOptions{PageSize: 4096}, nil),
		newSubject(t, "one page", WriterOptions{PageSize: 512, FrameBytes: 512}, crmImage(512, 512, 43)),
		newSubject(t, "every kind of block", WriterOptions{PageSize: 512, FrameBytes: 1024}, mixed),
		newSubject(t, "three pages in a frame", WriterOptions{PageSize: 512, FrameBytes: 1536}, crmImage(7*512, 512, 44)),
		newSubject(t, "best level", WriterOptions{PageSize: 1024, FrameBytes: 4096, Level: Best}, crmImage(3*1024, 1024, 45)),
		newSubject(t, "largest pages", WriterOptions{PageSize: 65536, FrameBytes: 65536}, slices.Concat(
			bytes.Repeat(crmImage(512, 512, 46), 64), make([]byte, 32768))),
	}
}

// doors are the ways in which the content of an archive reaches a caller.
var doors = []struct {
	name string
	read func(r *Reader) ([]byte, error)
	want func(s *subject) []byte
}{
	{"CopyTo", copied, func(s *subject) []byte { return s.image }},
	{"ReadAt", readWhole, func(s *subject) []byte { return s.image }},
	{"ReadAt backwards", readBackwards, func(s *subject) []byte { return s.image }},
	{"PageDigests", readDigests, func(s *subject) []byte { return s.digests }},
}

func copied(r *Reader) ([]byte, error) {
	var b bytes.Buffer
	err := r.CopyTo(context.Background(), &b, CopyOptions{Workers: 1})
	return b.Bytes(), err
}

func readWhole(r *Reader) ([]byte, error) {
	b := make([]byte, r.Info().ImageBytes)
	n, err := r.ReadAt(b, 0)
	return b[:n], err
}

func readBackwards(r *Reader) ([]byte, error) {
	b := make([]byte, r.Info().ImageBytes)
	for end := int64(len(b)); end > 0; {
		at := max(0, end-1000)
		if _, err := r.ReadAt(b[at:end], at); err != nil && err != io.EOF {
			return nil, err
		}
		end = at
	}
	return b, nil
}

func readDigests(r *Reader) (b []byte, err error) {
	err = r.PageDigests(context.Background(), func(pgno int64, d Digest) error {
		b = append(b, d[:]...)
		return nil
	})
	return b, err
}

// judge says what is wrong with how the bytes in stored are taken: each door must
// give a verdict, or exactly what one of the sound archives holds, and Info with it. found
// says whether CopyTo, which proves everything, gave a verdict.
func judge(stored []byte, sound ...*subject) (found bool, err error) {
	r, err := NewReader(bytes.NewReader(stored), int64(len(stored)))
	if err != nil {
		return true, noVerdict("open", err)
	}
	i := slices.IndexFunc(sound, func(s *subject) bool {
		want := s.info
		want.ArchiveBytes = int64(len(stored)) // no fact of the archive's, but the file's
		return reflect.DeepEqual(r.Info(), want)
	})
	if i < 0 {
		return false, fmt.Errorf("it opens as %+v", r.Info())
	}
	for _, d := range doors {
		got, err := d.read(r)
		if err != nil {
			if err := noVerdict(d.name, err); err != nil {
				return false, err
			}
			found = found || d.name == "CopyTo"
		} else if !bytes.Equal(got, d.want(sound[i])) {
			return false, fmt.Errorf("%s gives other bytes without a word", d.name)
		}
	}
	return found, nil
}

func noVerdict(door string, err error) error {
	if errors.Is(err, ErrDamaged) || errors.Is(err, ErrTruncated) || errors.Is(err, ErrNotArchive) || errors.Is(err, ErrLimit) {
		return nil
	}
	return fmt.Errorf("%s: neither sound nor damaged: %w", door, err)
}

// mustBeFound fails the test unless the damage in stored is reported.
func mustBeFound(t *testing.T, stored []byte, what string, sound ...*subject) {
	t.Helper()
	found, err := judge(stored, sound...)
	if err != nil {
		t.Errorf("%s: %v", what, err)
	} else if !found {
		t.Errorf("%s: not reported", what)
	}
}

// If this fails, a bit of some archive may rot and give a wrong image or wrong
// facts by one of the ways to read it, or may rot unnoticed by all of them although it
// means something.
func TestEveryBitFlipByEveryDoor(t *testing.T) {
	for _, s := range subjects(t) {
		t.Run(s.name, func(t *testing.T) {
			t.Parallel()
			if found, err := judge(s.stored, s); found || err != nil {
				t.Fatalf("undamaged: %v, %v", found, err)
			}
			data, unfound, flips := s.parts()[s.info.Frames], 0, 0
			every := testdb.Sampled(3) // each byte has two or three
			for i := range s.stored {
				for bit := range 8 {
					if (8*i+bit)%every != 0 {
						continue
					}
					if i < data {
						flips++
					}
					s.stored[i] ^= 1 << bit
					what := fmt.Sprintf("byte %d of %d, bit %d", i, len(s.stored), bit)
					found, err := judge(s.stored, s)
					if err != nil {
						t.Errorf("%s: %v", what, err)
					}
					// Some bits of a zstd frame have no meaning. Then the image is the same.
					if !found {
						unfound++
						if i >= data {
							t.Errorf("%s: not reported", what)
						}
					}
					if _, err := NewReader(bytes.NewReader(s.stored), int64(len(s.stored))); errors.Is(err, ErrNotArchive) {
						t.Errorf("%s: our own file is called something else: %v", what, err)
					}
					s.stored[i] ^= 1 << bit
				}
			}
			if unfound > flips/100 {
				t.Errorf("of %d bits of frames %d can change without an error", flips, unfound)
			}
		})
	}
}

// If this fails, digests beyond the first digest frame are believed unproven.
func TestBitFlipsAcrossDigestFrames(t *testing.T) {
	const frame = 12 << 20
	s := newSubject(t, "two digest frames", WriterOptions{PageSize: 512, FrameBytes: frame}, make([]byte, (digestsPerFrame+5)*512))
	parts := s.parts()
	first, second, last := parts[s.info.Frames], parts[s.info.Frames+1], parts[s.info.Frames+2]
	r := open(t, s.stored)
	for at := first; at < last; at++ {
		if edge := at-first < 64 || second-at <= 64 || at >= second; !edge && at%9973 != 0 {
			continue // the first one has half a million bytes
		}
		s.stored[at] ^= 1 << (at % 8)
		if _, err := readDigests(r); !errors.Is(err, ErrDamaged) {
			t.Errorf("byte %d of the digest frames: %v", at-first, err)
		}
		if at%97 == 0 {
			mustBeFound(t, s.stored, fmt.Sprintf("byte %d of the digest frames", at-first), s)
		}
		s.stored[at] ^= 1 << (at % 8)
	}
	if found, err := judge(s.stored, s); found || err != nil {
		t.Errorf("undamaged: %v, %v", found, err)
	}
	// The page digests of a frame stand in both.
	at := int64(digestsPerFrame/(frame/512)) * frame
	p := make([]byte, frame)
	if n, err := r.ReadAt(p, at); err != io.EOF || !bytes.Equal(p[:n], s.image[at:]) {
		t.Errorf("last frame: %d bytes, %v", n, err)
	}
}

// If this fails, the start of an archive, or one with something behind it, passes for it.
func TestEveryTruncationByEveryShape(t *testing.T) {
	for _, s := range subjects(t) {
		t.Run(s.name, func(t *testing.T) {
			t.Parallel()
			for n := range s.stored {
				mustBeFound(t, s.stored[:n], fmt.Sprintf("cut to %d of %d bytes", n, len(s.stored)), s)
				mustBeFound(t, s.stored[n+1:], fmt.Sprintf("without its first %d bytes", n+1), s)
			}
			for n := 1; n <= 64; n++ {
				mustBeFound(t, slices.Concat(s.stored, make([]byte, n)), fmt.Sprintf("%d zeros appended", n), s)
			}
			mustBeFound(t, slices.Concat(s.stored, s.stored), "twice", s)
		})
	}
}

// If this fails, an unwritten or overwritten disk block in a backup goes unnoticed.
func TestLostBlocksAreFound(t *testing.T) {
	s := newSubject(t, "blocks", WriterOptions{PageSize: 512, FrameBytes: 4096},
		slices.Concat(noise(8<<10, 50), crmImage(12<<10, 512, 51), make([]byte, 4<<10)))
	const block = 4096
	for at := 0; at < len(s.stored); at += 3 {
		for _, fill := range []byte{0, 0xFF} {
			b := bytes.Clone(s.stored)
			for i := at; i < min(at+block, len(b)); i++ {
				b[i] = fill
			}
			if bytes.Equal(b, s.stored) {
				continue
			}
			mustBeFound(t, b, fmt.Sprintf("%#02x over a block at byte %d", fill, at), s)
		}
	}
}

// If this fails, blocks that landed in another's place give another image.
func TestMisplacedBlocksAreFound(t *testing.T) {
	s := newSubject(t, "blocks", WriterOptions{PageSize: 512, FrameBytes: 1024}, noise(6<<10, 52))
	for _, block := range []int{512, 1024, s.dataFrame()} {
		for from := 0; from+block <= len(s.stored); from += block {
			for to := 0; to+block <= len(s.stored); to += block {
				if bytes.Equal(s.stored[from:from+block], s.stored[to:to+block]) {
					continue
				}
				written := bytes.Clone(s.stored)
				copy(written[to:], s.stored[from:from+block])
				mustBeFound(t, written, fmt.Sprintf("%d bytes at %d written at %d too", block, from, to), s)
				copy(written[from:], s.stored[to:to+block])
				mustBeFound(t, written, fmt.Sprintf("%d bytes at %d and %d exchanged", block, from, to), s)
			}
		}
	}
}

// dataFrame is the stored size of the first data frame.
func (s *subject) dataFrame() int { return s.parts()[1] }

// parts are where the archive's parts begin, and its end: data frames, page
// digests, frame digests, metadata, seek table.
func (s *subject) parts() []int {
	entries := s.info.Frames + int(ceilDiv(s.info.PageCount, digestsPerFrame)) + 1
	if s.info.Frames > 0 {
		entries++ // the frame digests
	}
	table := len(s.stored) - int(seekable.TableBytes(int64(entries)))
	offs := []int{0}
	for i := range entries {
		size := binary.LittleEndian.Uint32(s.stored[table+seekable.SkipHeaderBytes+i*seekable.EntryBytes:])
		offs = append(offs, offs[i]+int(size))
	}
	return append(offs, len(s.stored))
}

// If this fails, parts of two backups of the same database, as a torn copy leaves
// them, make an image that never was.
func TestMixturesOfTwoArchivesAreFound(t *testing.T) {
	o := WriterOptions{PageSize: 512, FrameBytes: 1024}
	a := newSubject(t, "a", o, noise(3<<10, 53))
	// Compressed alike, and with a frame in common.
	b := newSubject(t, "b", o, slices.Concat(noise(1<<10, 54), a.image[1<<10:2<<10], noise(1<<10, 55)))
	parts := a.parts()
	if !slices.Equal(parts, b.parts()) {
		t.Fatalf("parts %v and %v: not alike", parts, b.parts())
	}
	pieces := len(parts) - 1
	for choice := range 1 << pieces {
		var mixed []byte
		for i := range pieces {
			from := a
			if choice>>i&1 != 0 {
				from = b
			}
			mixed = append(mixed, from.stored[parts[i]:parts[i+1]]...)
		}
		found, err := judge(mixed, a, b)
		same := bytes.Equal(mixed, a.stored) || bytes.Equal(mixed, b.stored)
		if err != nil || found == same {
			t.Errorf("mixture %0*b: found %v, %v", pieces, choice, found, err)
		}
	}
	for cut := range a.stored {
		mixed := slices.Concat(a.stored[:cut], b.stored[cut:])
		found, err := judge(mixed, a, b)
		same := bytes.Equal(mixed, a.stored) || bytes.Equal(mixed, b.stored)
		if err != nil || found == same {
			t.Errorf("b from byte %d on: found %v, %v", cut, found, err)
		}
	}
}

// If this fails, a seek table can send a reader to another frame, outside the
// file, or around in it.
func TestLyingSeekTables(t *testing.T) {
	s := newSubject(t, "table", WriterOptions{PageSize: 512, FrameBytes: 1024},
		slices.Concat(crmImage(2048, 512, 56), noise(2048, 57)))
	parts := s.parts()
	table := parts[len(parts)-2] + seekable.SkipHeaderBytes
	entries := len(parts) - 2
	field := func(b []byte, i int) []byte { return b[table+4*i:][:4] }
	size := func(b []byte, i int) uint32 { return binary.LittleEndian.Uint32(field(b, i)) }
	for i := range 2 * entries {
		for j := range 2 * entries {
			for _, by := range []uint32{1, 8, 1 << 31, size(s.stored, i), size(s.stored, j)} {
				b := bytes.Clone(s.stored) // one gets what the other loses: the sum stays
				binary.LittleEndian.PutUint32(field(b, i), size(b, i)+by)
				binary.LittleEndian.PutUint32(field(b, j), size(b, j)-by)
				if !bytes.Equal(b, s.stored) {
					mustBeFound(t, b, fmt.Sprintf("field %d gets %d from field %d", i, by, j), s)
				}
			}
			b := bytes.Clone(s.stored)
			copy(field(b, i), field(s.stored, j))
			copy(field(b, j), field(s.stored, i))
			if !bytes.Equal(b, s.stored) {
				mustBeFound(t, b, fmt.Sprintf("fields %d and %d exchanged", i, j), s)
			}
		}
	}
	// Frames that changed places, with a table that fits them.
	for i := range s.info.Frames {
		for j := i + 1; j < s.info.Frames; j++ {
			mustBeFound(t, exchangeFrames(s, i, j), fmt.Sprintf("frames %d and %d exchanged", i, j), s)
		}
	}
}

// exchangeFrames lets data frames i < j change places, and their sizes in the table.
func exchangeFrames(s *subject, i, j int) []byte {
	p := s.parts()
	b := slices.Concat(s.stored[:p[i]], s.stored[p[j]:p[j+1]], s.stored[p[i+1]:p[j]], s.stored[p[i]:p[i+1]], s.stored[p[j+1]:])
	table := p[len(p)-2] + seekable.SkipHeaderBytes
	copy(b[table+i*seekable.EntryBytes:][:4], s.stored[table+j*seekable.EntryBytes:])
	copy(b[table+j*seekable.EntryBytes:][:4], s.stored[table+i*seekable.EntryBytes:])
	return b
}
