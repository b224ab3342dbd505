package archive

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	foreign "github.com/SaveTheRbtz/zstd-seekable-format-go/pkg"
	"github.com/klauspost/compress/zstd"
	"go.uber.org/goleak"

	"example.com/snapd/internal/seekable"
)

// smallArchive has every part, except two shapes of digests, in few bytes.
func smallArchive(t testing.TB) (stored, image []byte) {
	t.Helper()
	image = crmImage(5*512, 512, 16)
	stored, _ = pack(t, image, WriterOptions{PageSize: 512, FrameBytes: 1024, Workers: 1})
	return stored, image
}

// prove opens and verifies b as a whole.
func prove(b []byte) error {
	r, err := NewReader(bytes.NewReader(b), int64(len(b)))
	if err != nil {
		return err
	}
	return r.Verify(context.Background(), CopyOptions{Workers: 1})
}

func isVerdict(err error) bool {
	for _, e := range []error{ErrNotArchive, ErrTruncated, ErrDamaged, ErrVersion, ErrLimit} {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}

// If this fails, an interrupted copy of an archive passes for one.
func TestEveryTruncationIsFoundAtOpen(t *testing.T) {
	stored, _ := smallArchive(t)
	for n := range stored {
		_, err := NewReader(bytes.NewReader(stored[:n]), int64(n))
		if !isVerdict(err) {
			t.Errorf("%d of %d bytes: %v", n, len(stored), err)
		}
		if n >= 4 && n < len(stored)-1 && !errors.Is(err, ErrTruncated) {
			t.Errorf("%d of %d bytes is not called cut short: %v", n, len(stored), err)
		}
	}
}

// If this fails, bytes can be slipped in or lost between the parts.
func TestInsertedAndLostBytesAreFound(t *testing.T) {
	stored, _ := smallArchive(t)
	for i := 0; i <= len(stored); i++ {
		for _, more := range []string{"\x00", "PK", string(stored[:20]), "\x50\x2a\x4d\x18\x00\x00\x00\x00"} {
			b := append(append(bytes.Clone(stored[:i]), more...), stored[i:]...)
			if err := prove(b); !isVerdict(err) {
				t.Errorf("%q at %d: %v", more, i, err)
			}
		}
		if i < len(stored) {
			if err := prove(append(bytes.Clone(stored[:i]), stored[i+1:]...)); !isVerdict(err) {
				t.Errorf("without byte %d: %v", i, err)
			}
		}
	}
}

// If this fails, the lost pages of a damaged backup remain unknown.
func TestDamageNamesFrameAndPages(t *testing.T) {
	image := crmImage(64*4096, 4096, 17)
	stored, _ := pack(t, image, WriterOptions{PageSize: 4096, FrameBytes: 16 * 4096})
	r := open(t, stored)
	stored[r.offsets[2]+500] ^= 4
	var got bytes.Buffer
	err := r.CopyTo(context.Background(), &got, CopyOptions{})
	if !errors.Is(err, ErrDamaged) || !strings.Contains(err.Error(), "frame 2 (pages 33 to 48)") {
		t.Errorf("copy: %v", err)
	}
	if !bytes.Equal(got.Bytes(), image[:32*4096]) {
		t.Errorf("%d bytes were written before the damage was found", got.Len())
	}
	p := make([]byte, 10)
	if _, err := r.ReadAt(p, 40*4096); !errors.Is(err, ErrDamaged) {
		t.Errorf("read of a damaged frame: %v", err)
	}
	if _, err := r.ReadAt(p, 10*4096); err != nil {
		t.Errorf("read of a good frame: %v", err)
	}
}

// rewrite takes an archive apart and puts it together again with another
// metadata document, version, or data frames; all checksums are right.
func rewrite(t *testing.T, stored []byte, version uint32, change func(doc map[string]any)) []byte {
	t.Helper()
	r := open(t, stored)
	_, metaFrame, err := readMetadata(r.r, seekTable{off: int64(len(stored)) - seekable.TableBytes(r.meta.frames()+r.meta.otherFrames())})
	if err != nil {
		t.Fatal(err)
	}
	raw, err := json.Marshal(r.meta)
	if err != nil {
		t.Fatal(err)
	}
	doc := map[string]any{}
	d := json.NewDecoder(bytes.NewReader(raw))
	d.UseNumber()
	if err := d.Decode(&doc); err != nil {
		t.Fatal(err)
	}
	change(doc)
	if raw, err = json.Marshal(doc); err != nil {
		t.Fatal(err)
	}
	tableOff := len(stored) - int(seekable.TableBytes(r.meta.frames()+r.meta.otherFrames()))
	out := bytes.Clone(stored[:tableOff-int(metaFrame)])
	frame := appendMetadataFrame(nil, raw, version)
	out = append(out, frame...)
	table := bytes.Clone(stored[tableOff:])
	last := len(table) - seekable.FooterBytes - seekable.EntryBytes
	copy(table[last:], seekable.AppendEntry(nil, uint32(len(frame)), 0))
	return append(out, table...)
}

// If this fails, an old program misreads the archives of a newer one, or a new
// field makes old programs refuse archives of the same version.
func TestVersions(t *testing.T) {
	stored, _ := smallArchive(t)
	same := func(map[string]any) {}
	err := prove(rewrite(t, stored, FormatVersion+1, same))
	if !errors.Is(err, ErrVersion) || !strings.Contains(err.Error(), "upgrade") || !strings.Contains(err.Error(), fmt.Sprint("format ", FormatVersion+1)) {
		t.Errorf("newer version: %v", err)
	}
	if err := prove(rewrite(t, stored, FormatVersion+1, func(d map[string]any) { clear(d); d["pages"] = "elsewhere" })); !errors.Is(err, ErrVersion) {
		t.Errorf("newer version with another document: %v", err)
	}
	if _, err := Open(filepath.Join("testdata", "v1"+Ext)); !errors.Is(err, ErrVersion) || !strings.Contains(err.Error(), "format 1, of a version") {
		t.Errorf("version 1: %v", err)
	}
	if err := prove(rewrite(t, stored, 0, same)); !errors.Is(err, ErrDamaged) {
		t.Errorf("version 0: %v", err)
	}
	if err := prove(rewrite(t, stored, FormatVersion, func(d map[string]any) {
		d["compressed_by"] = []any{"x", 1}
		d["facts"].(map[string]any)["weather"] = "fine"
	})); err != nil {
		t.Errorf("unknown fields: %v", err)
	}
}

// If this fails, a file can make the program allocate without bound, loop, or
// hand out an image that is not the one it names.
func TestUntrustedMetadata(t *testing.T) {
	stored, _ := smallArchive(t)
	for _, c := range []struct {
		field string
		value any
		want  error
	}{
		{"page_size", 0, ErrDamaged}, {"page_size", 513, ErrDamaged}, {"page_size", 1 << 30, ErrDamaged},
		{"page_size", -512, ErrDamaged}, {"page_size", 1024, ErrDamaged}, {"page_size", "512", ErrDamaged},
		{"page_count", -1, ErrDamaged}, {"page_count", 4, ErrDamaged}, {"page_count", 6, ErrDamaged},
		{"page_count", 0, ErrDamaged}, {"page_count", int64(maxPages), ErrLimit}, {"page_count", int64(1) << 62, ErrLimit},
		{"page_count", 1e300, ErrDamaged},
		{"frame_bytes", 0, ErrDamaged}, {"frame_bytes", -1024, ErrDamaged}, {"frame_bytes", 1000, ErrDamaged},
		{"frame_bytes", 1 << 30, ErrLimit}, {"frame_bytes", 512, ErrDamaged}, {"frame_bytes", 2048, ErrDamaged},
		{"image_blake3", strings.Repeat("0", 64), ErrDamaged}, {"image_blake3", "", ErrDamaged},
		{"image_blake3", strings.Repeat("G", 64), ErrDamaged},
		{"sum", strings.Repeat("0", 32), ErrDamaged}, {"sum", nil, ErrDamaged},
		{"frames_sum", strings.Repeat("0", 32), ErrDamaged}, {"frames_sum", "", ErrDamaged}, {"frames_sum", "x", ErrDamaged},
		{"page_seed", strings.Repeat("1", 16), ErrDamaged}, {"page_seed", nil, ErrDamaged}, {"page_seed", 0, ErrDamaged},
		{"facts", []int{1}, ErrDamaged},
	} {
		b := rewrite(t, stored, FormatVersion, func(d map[string]any) { d[c.field] = c.value })
		if err := prove(b); !errors.Is(err, c.want) {
			t.Errorf("%s %v: %v, want %v", c.field, c.value, err, c.want)
		}
	}
}

// If this fails, a digest that is no digest is shown, stored in the catalog and
// compared with.
func TestMalformedDigestsAreRefusedAtOpen(t *testing.T) {
	stored, _ := smallArchive(t)
	for field, n := range map[string]int{"image_blake3": 64, "sum": 32, "page_seed": 16} {
		for _, value := range []string{"", "00", strings.Repeat("0", n+1), strings.Repeat("A", n), strings.Repeat("/", n)} {
			b := rewrite(t, stored, FormatVersion, func(d map[string]any) { d[field] = value })
			if _, err := NewReader(bytes.NewReader(b), int64(len(b))); !errors.Is(err, ErrDamaged) {
				t.Errorf("%s %q: %v", field, value, err)
			}
		}
	}
}

// If this fails, page digests that do not belong to the image are believed, and
// a comparison of two backups by them misses changed pages.
func TestPageDigestsAreProvenAgainstTheImage(t *testing.T) {
	stored, _ := smallArchive(t)
	r := open(t, stored)
	frame := stored[r.offsets[len(r.offsets)-1]:][:digestFrameBytes(5)]
	digests := frame[seekable.SkipHeaderBytes : len(frame)-checksumBytes]
	digests[3*digestBytes] ^= 1
	binary.LittleEndian.PutUint64(frame[len(frame)-checksumBytes:], digestFrameChecksum(digests, 0))
	var sum Sum
	sum.addAll(digests)
	b := rewrite(t, stored, FormatVersion, func(d map[string]any) { d["sum"] = sum.Digits() })
	if err := prove(b); !errors.Is(err, ErrDamaged) || !strings.Contains(err.Error(), "digest of page 4") {
		t.Error(err)
	}
}

// If this fails, foreign bytes can ride inside an archive, or a frame's header
// can make the decoder take other memory than the seek table says.
func TestFrameIsExactlyOneZstdFrame(t *testing.T) {
	image := crmImage(4096, 512, 19)
	encode := func(o ...zstd.EOption) []byte {
		e, err := zstd.NewWriter(nil, append(o, zstd.WithEncoderConcurrency(1))...)
		if err != nil {
			t.Fatal(err)
		}
		defer e.Close()
		return e.EncodeAll(image, nil)
	}
	good := encode(zstd.WithSingleSegment(true))
	var streamed bytes.Buffer
	e, err := zstd.NewWriter(&streamed)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := e.Write(image); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(e.Flush(), e.Close()); err != nil {
		t.Fatal(err)
	}
	skippable := seekable.AppendSkipHeader(nil, 0x184D2A50, 0)
	for _, c := range []struct {
		name string
		b    []byte
		ok   bool
	}{
		{"as written", good, true},
		{"with a window", encode(zstd.WithSingleSegment(false), zstd.WithWindowSize(1024)), true},
		{"with a skippable frame after it", slices.Concat(good, skippable), false},
		{"with a skippable frame before it", slices.Concat(skippable, good), false},
		{"twice", slices.Concat(good, good), false},
		{"without checksum", encode(zstd.WithEncoderCRC(false)), false},
		{"without content size", streamed.Bytes(), false},
		{"empty", nil, false},
	} {
		if err := seekable.CheckFrame(c.b, len(image)); (err == nil) != c.ok {
			t.Errorf("%s: %v", c.name, err)
		}
	}
	for n := range good {
		if seekable.CheckFrame(good[:n], len(image)) == nil {
			t.Errorf("cut to %d of %d bytes it is accepted", n, len(good))
		}
	}
	if seekable.CheckFrame(good, len(image)+1) == nil {
		t.Error("another content size is accepted")
	}

	// The same within an archive: the rider is accounted for everywhere.
	stored, _ := smallArchive(t)
	r := open(t, stored)
	end := r.offsets[len(r.offsets)-1]
	b := slices.Concat(stored[:end], skippable, stored[end:])
	entry := b[int64(len(b))-seekable.TableBytes(int64(r.info.Frames)+r.meta.otherFrames())+seekable.SkipHeaderBytes:][(r.info.Frames-1)*seekable.EntryBytes:]
	binary.LittleEndian.PutUint32(entry, binary.LittleEndian.Uint32(entry)+uint32(len(skippable)))
	if err := prove(b); !errors.Is(err, ErrDamaged) || !strings.Contains(err.Error(), "zstd frame: ends") {
		t.Errorf("rider in an archive: %v", err)
	}
}

// foreignSeekable is a file that another program made in the same container.
func foreignSeekable(t *testing.T) []byte {
	t.Helper()
	e, err := zstd.NewWriter(nil)
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	w, err := foreign.NewWriter(&b, e)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write(crmImage(8192, 512, 1)); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(w.Close(), e.Close()); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// If this fails, an ordinary file is reported as a damaged backup, or worse.
func TestOtherFiles(t *testing.T) {
	for name, b := range map[string][]byte{
		"text":      []byte(strings.Repeat("hello, world\n", 100)),
		"database":  append([]byte("SQLite format 3\x00"), make([]byte, 4080)...),
		"few bytes": []byte("hi"),
		"zeros":     make([]byte, 4096),
		"seekable":  foreignSeekable(t),
	} {
		_, err := NewReader(bytes.NewReader(b), int64(len(b)))
		if !errors.Is(err, ErrNotArchive) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// If this fails, a cancelled or failed restore goes on, or leaks goroutines
// (TestMain looks for them).
func TestCopyToEndsEarly(t *testing.T) {
	image := crmImage(64*4096, 4096, 18)
	stored, _ := pack(t, image, WriterOptions{PageSize: 4096, FrameBytes: 4096})
	r := open(t, stored)
	stop := errors.New("user pressed a key")
	ctx, cancel := context.WithCancelCause(context.Background())
	last := int64(0)
	err := r.CopyTo(ctx, io.Discard, CopyOptions{Progress: func(n int64) {
		if last = n; n == 10*4096 {
			cancel(stop)
		}
	}})
	if !errors.Is(err, stop) || last != 10*4096 {
		t.Errorf("cancelled at frame 10: %v, went on to byte %d", err, last)
	}
	full := errors.New("no room")
	if err := r.CopyTo(context.Background(), &failingWriter{10_000, full}, CopyOptions{}); !errors.Is(err, full) {
		t.Errorf("full destination: %v", err)
	}
	if err := r.CopyTo(context.Background(), &failingWriter{10_000, nil}, CopyOptions{}); !errors.Is(err, io.ErrShortWrite) {
		t.Errorf("short write: %v", err)
	}
	func() { // a host may outlive it
		defer func() {
			if recover() == nil {
				t.Error("no panic came of a destination that panics")
			}
		}()
		_ = r.CopyTo(context.Background(), panicking{}, CopyOptions{})
	}()
	if err := goleak.Find(); err != nil {
		t.Errorf("a destination that panicked: %v", err)
	}
	short := fmt.Errorf("enough")
	if err := r.PageDigests(context.Background(), func(pgno int64, _ Digest) error {
		if pgno == 3 {
			return short
		}
		return nil
	}); err != short {
		t.Errorf("page digests: %v", err)
	}
}

// If this fails, a file that shrinks while it is read looks like bad memory.
func TestFileThatShrinksIsTruncated(t *testing.T) {
	stored, _ := smallArchive(t)
	r := open(t, stored)
	r.r = bytes.NewReader(stored[:100])
	if err := r.Verify(context.Background(), CopyOptions{}); !errors.Is(err, ErrTruncated) {
		t.Error(err)
	}
}

type panicking struct{}

func (panicking) Write([]byte) (int, error) { panic("no writer") }

// If this fails, a restore goes by neither the digest of a frame as it is stored nor its checksum, or refuses an image that is sound; or a
// verification no longer says that zstd takes the archive.
func TestFramesAreProvenByDigestOrChecksum(t *testing.T) {
	stored, image := smallArchive(t)
	last := func(r *Reader) *byte { return &stored[r.offsets[1]-1] } // of the first frame's checksum
	for _, c := range []struct {
		name             string
		checksum, digest byte // bits that are wrong
		known            bool // the list has the digest of the frame as it is then
		copies, verifies bool
	}{
		{name: "sound", copies: true, verifies: true},
		{name: "another digest", digest: 1, copies: true, verifies: true},
		{name: "another checksum", checksum: 1},
		{name: "another checksum, and its digest", checksum: 1, known: true, copies: true},
	} {
		r := open(t, stored)
		*last(r) ^= c.checksum
		list, err := r.frameDigests()
		if err != nil {
			t.Fatal(err)
		}
		list[0] ^= c.digest
		if c.known {
			d := frameDigest(r.seed, 0, stored[:r.offsets[1]])
			copy(list, d[:])
		}
		got, err := copied(r)
		if c.copies && (err != nil || !bytes.Equal(got, image)) || !c.copies && !errors.Is(err, ErrDamaged) {
			t.Errorf("%s: copy: %v", c.name, err)
		}
		if err := r.Verify(t.Context(), CopyOptions{}); c.verifies && err != nil || !c.verifies && !errors.Is(err, ErrDamaged) {
			t.Errorf("%s: verify: %v", c.name, err)
		}
		*last(r) ^= c.checksum
	}
}
