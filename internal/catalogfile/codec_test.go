package catalogfile

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"runtime"
	"strings"
	"testing"
	"time"

	"example.com/snapd/catalog"
)

// sample makes a catalog of n verified backups.
func sample(n int) *document {
	d := newDocument()
	at := time.Date(2025, 10, 31, 12, 0, 0, 0, time.UTC)
	for i := range n {
		made := at.Add(time.Duration(i) * time.Hour)
		proven := made.Add(time.Second)
		id := made.Format("data_backup_AUTO_20060102_150405")
		e := catalog.Entry{
			ID: id, File: fileOf(id), Seq: uint64(i + 1), Kind: catalog.Auto, Trigger: catalog.TriggerSchedule, CreatedAt: made,
			DatabaseBytes: 1 << 30, ArchiveBytes: 350<<20 + int64(i), PageSize: 4096, PageCount: 1 << 18,
			ImageBLAKE3:  fmt.Sprintf("%064x", i*7919),
			Verification: catalog.Verification{State: catalog.Verified, Level: "quick", At: &proven},
			Note:         "note <" + strings.Repeat("é", i%3) + ">", DurationMS: 2345,
			Source: json.RawMessage(`{"size":1073741824,"mtime_ns":1761912000000000000,"ino":12345,"wal":{"size":0,"salts":"0011223344556677"}}`),
		}
		if i%10 == 7 {
			e.Point, e.Base = fmt.Sprint("1.", 4000+i), d.entries[i-1].ID
			e.Copies = []catalog.Copy{{Remote: "offsite", State: catalog.CopyVerified, At: proven, Proof: "sha256"}}
		}
		d.entries = append(d.entries, e)
	}
	d.state.Succeeded(catalog.TriggerSchedule, at)
	return d
}

func mustEncode(t testing.TB, d *document) []byte {
	t.Helper()
	text, err := encode(d)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// Lost: a catalog cut short, taken for a whole one with fewer backups.
func TestEveryTruncationIsDetected(t *testing.T) {
	text := mustEncode(t, sample(3))
	if _, err := decode(text); err != nil {
		t.Fatal(err)
	}
	for n := range text {
		if d, err := decode(text[:n]); !errors.Is(err, ErrDamaged) {
			t.Fatalf("cut to %d of %d bytes: %v, %v", n, len(text), d, err)
		}
	}
}

// Lost: what is stored must be what is read, and plain JSON to other programs.
func TestEncodeRoundTrip(t *testing.T) {
	d := sample(20)
	text := mustEncode(t, d)
	if !json.Valid(text) {
		t.Fatal("not JSON")
	}
	back, err := decode(text)
	if err != nil {
		t.Fatal(err)
	}
	if !sumFits(text) {
		t.Error("the sum is not the text's")
	}
	var loose bytes.Buffer
	if err := json.Indent(&loose, text, "", "\t"); err != nil {
		t.Fatal(err)
	}
	if edited, err := decode(loose.Bytes()); err != nil || !reflect.DeepEqual(edited, back) {
		t.Errorf("an edited catalog: %v", err)
	}
	lines := bytes.Split(text, []byte("\n"))
	for i := range d.entries {
		want, err := json.Marshal(d.entries[i])
		if got := bytes.TrimSuffix(lines[i+1], []byte(",")); err != nil || !bytes.Equal(got, want) {
			t.Fatalf("entry written as\n%s\nwant\n%s %v", got, want, err)
		}
	}
	d.nextSeq = 21
	if !reflect.DeepEqual(back, d) {
		t.Fatalf("read back\n%+v\nwant\n%+v", back, d)
	}
}

// Lost: the memory of the machine, to an untrusted catalog.
func TestUntrustedCatalogsAreRefusedEarly(t *testing.T) {
	head := `{"version":1,"next_seq":1,`
	for name, text := range map[string]string{
		"empty entries": head + `"backups":[` + strings.Repeat("{},", 1<<20) + `{}]}`,
		"deep":          head + `"backups":[],"state":` + strings.Repeat("[", 1<<20),
		"large state":   head + `"backups":[],"state":{"last_success":{"` + strings.Repeat("x", 2<<20) + `":{}}}}`,
		"late restore":  head + `"backups":[],"state":{"last_restore":{"id":"x","at":"9999-12-31T23:59:59-23:00","newest_seq":0}}}`,
		"seq":           `{"version":1,"next_seq":18446744073709551615,"backups":[]}`,
		"negative":      `{"version":-1,"next_seq":1,"backups":[]}`,
		"no list":       head + `"backups":{}}`,
		"no seq":        `{"version":1,"backups":[]}`,
	} {
		if _, err := decode([]byte(text)); !errors.Is(err, ErrDamaged) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// FuzzDecode: no text makes it panic; what is accepted has the same meaning
// after it was written again.
func FuzzDecode(f *testing.F) {
	for _, n := range []int{0, 1, 3} {
		text := mustEncode(f, sample(n))
		f.Add(text)
		f.Add(append(bytes.Clone(text[:len(text)-sumBytes]), '}')) // a changed one is read, not only compared
		f.Add(text[:len(text)/2])
		f.Add(bytes.ToUpper(text))
		f.Add(bytes.Replace(text, []byte(":00Z"), []byte(":00+23:59"), 1))
		f.Add(bytes.Replace(text, []byte("2025"), []byte("9999"), 1))
		f.Add(bytes.Replace(text, []byte(`"next_seq":`), []byte(`"next_seq":0`), 1))
		f.Add(bytes.Replace(text, []byte("data_"), []byte("../"), 2))
	}
	f.Add([]byte(`{"version":2}`))
	f.Add([]byte("{\"version\":1,\"next_seq\":1,\"state\":,\"backups\":[\n]}"))
	f.Add([]byte(`{"version":1,"next_seq":1,"state":null,"backups":[]}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		salvage(bytes.NewReader(text))
		if at := len(text) - sumBytes; at > 0 && bytes.HasPrefix(text[at:], []byte(`,"sum":"`)) { // a wrong sum would end it here
			text = append(bytes.Clone(text[:at]), sumOf(text[:at])...)
		}
		d, err := decode(text)
		if err != nil {
			if !errors.Is(err, ErrDamaged) && !errors.Is(err, ErrVersion) {
				t.Fatalf("neither damaged nor newer: %v", err)
			}
			return
		}
		for _, e := range d.entries {
			if e.File != filepath.Base(e.File) || e.File != e.ID+".db.zst" {
				t.Fatalf("file %q of id %q was accepted", e.File, e.ID)
			}
		}
		again, err := encode(d)
		if err != nil {
			t.Fatalf("accepted, but cannot be written: %v", err)
		}
		back, err := decode(again)
		if err != nil {
			t.Fatalf("written, but cannot be read: %v\n%s", err, again)
		}
		if third := mustEncode(t, back); !bytes.Equal(third, again) {
			t.Fatalf("the meaning changed:\n%s\n%s", again, third)
		}
	})
}

// Lost: a change, when a sweep by the holder of the operation lock takes the
// temporary file away; and a full disk must leave the old catalog.
func TestWriteErrors(t *testing.T) {
	durably := replaceFile
	t.Cleanup(func() { replaceFile = durably })
	c, err := Open(t.TempDir(), "data")
	if err != nil {
		t.Fatal(err)
	}
	calls := 0
	replaceFile = func(path string, data []byte, perm fs.FileMode) error {
		if calls++; calls == 1 {
			return fmt.Errorf("rename: %w", fs.ErrNotExist)
		}
		return durably(path, data, perm)
	}
	next := func(tx *Tx) error { tx.NextSeq(); return nil }
	if err := c.Update(t.Context(), next); err != nil || calls != 2 {
		t.Fatalf("swept away once: %v after %d calls", err, calls)
	}
	full := errors.New("no space left on device")
	replaceFile = func(string, []byte, fs.FileMode) error { return full }
	if err := c.Update(t.Context(), next); !errors.Is(err, full) {
		t.Fatalf("full disk: %v", err)
	}
	if d, err := c.view(); err != nil || d.nextSeq != 2 {
		t.Fatalf("after the failure: %+v %v", d, err)
	}
}

// Lost: the damaged catalog, overwritten although no copy of it could be made.
func TestDamagedCatalogStaysUntilCopied(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	c, err := Open(dir, "data")
	if err != nil {
		t.Fatal(err)
	}
	bad := []byte(`{"version":1,`)
	if err := os.WriteFile(c.file(), bad, 0o600); err != nil {
		t.Fatal(err)
	}
	// All names for the copy are taken.
	fixed := time.Date(2025, 10, 31, 12, 0, 0, 0, time.UTC)
	c.now = func() time.Time { return fixed }
	stem := c.file() + ".damaged-20251031_120000"
	for n := 1; n <= maxSuffix; n++ {
		name := stem
		if n > 1 {
			name = fmt.Sprintf("%s_%d", stem, n)
		}
		if err := os.WriteFile(name, nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := c.Entries(); err != nil {
		t.Errorf("reading goes on in memory: %v", err)
	}
	if ch := c.TakeChanges(); ch.Unsaved == nil {
		t.Errorf("not reported: %+v", ch)
	}
	for range 2 {
		if err := c.Update(t.Context(), func(tx *Tx) error { tx.NextSeq(); return nil }); err == nil {
			t.Error("written over the damaged catalog")
		}
	}
	if text, err := os.ReadFile(c.file()); err != nil || !bytes.Equal(text, bad) {
		t.Fatalf("the damaged catalog is now %q, %v", text, err)
	}
}

// Lost: a newer program's catalog, wherever in it the version stands.
func TestNewerVersionIsRecognised(t *testing.T) {
	long := strings.Repeat("x", 100<<10)
	for _, text := range []string{
		`{"version":2`,
		`{"next_seq":"two","version":2,"backups":{}}`,
		`{"note":"` + long + `","next_seq":"two","version":2}`,
		`{"version":2,"note":"` + long,
	} {
		if _, err := decode([]byte(text)); !errors.Is(err, ErrVersion) || errors.Is(err, ErrDamaged) {
			t.Errorf("%.60s…: %v", text, err)
		}
	}
}

func BenchmarkDecode10000(b *testing.B) {
	text := mustEncode(b, sample(10_000))
	b.SetBytes(int64(len(text)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := decode(text); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkEncode10000(b *testing.B) {
	d := sample(10_000)
	for b.Loop() {
		b.SetBytes(int64(len(mustEncode(b, d))))
	}
}

// list in a new process: Open and Entries.
func BenchmarkOpenAndList10000(b *testing.B) {
	dir := b.TempDir()
	if err := os.WriteFile(filepath.Join(dir, catalogName), mustEncode(b, sample(10_000)), 0o600); err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		c, err := Open(dir, "data")
		if err != nil {
			b.Fatal(err)
		}
		if list, err := c.Entries(); err != nil || len(list) != 10_000 {
			b.Fatal(err)
		}
	}
}

// Reconcile with nothing to do: the cost for every command in addition to reading.
func BenchmarkReconcile10000(b *testing.B) {
	dir := b.TempDir()
	d := sample(10_000)
	for i := range d.entries {
		d.entries[i].ArchiveBytes, d.entries[i].Verification.State = 0, catalog.Unverified
		if err := os.WriteFile(filepath.Join(dir, d.entries[i].File), nil, 0o600); err != nil {
			b.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(dir, catalogName), mustEncode(b, d), 0o600); err != nil {
		b.Fatal(err)
	}
	c, err := Open(dir, "data")
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		if ch, err := c.Reconcile(b.Context(), nil); err != nil || !ch.Empty() {
			b.Fatal(ch.Lines(), err)
		}
	}
}

func BenchmarkPlan10000(b *testing.B) {
	entries := sample(10_000).newestFirst()
	now := entries[0].CreatedAt
	for b.Loop() {
		catalog.Plan(entries, catalog.State{}, catalog.Policy{Last: 10, Hourly: 24, Daily: 7, Weekly: 5, Monthly: 12, Yearly: catalog.Unlimited}, now)
	}
}

// Lost: gigabytes, to a text of nothing but lines.
func TestMemoryIsTakenForLinesThatCanBeEntries(t *testing.T) {
	text := `{"version":1,"next_seq":1,"state":{},"backups":[` + strings.Repeat("\n", 1<<20) + "]}"
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	if _, err := decode([]byte(text)); err != nil && !errors.Is(err, ErrDamaged) {
		t.Error(err)
	}
	runtime.ReadMemStats(&after)
	if took := after.TotalAlloc - before.TotalAlloc; took > 32<<20 {
		t.Errorf("%d bytes for a text of %d", took, len(text))
	}
}
