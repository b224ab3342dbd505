package remote

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"example.com/snapd/catalog"
	"example.com/snapd/integrity"
	"example.com/snapd/internal/archive"
	"example.com/snapd/internal/points"
	"example.com/snapd/internal/store/seal"
	"example.com/snapd/internal/store/storetest"
)

// Lost: a state that the remote has, or another one in its place.
func TestEveryStateIsRead(t *testing.T) {
	t.Parallel()
	for _, sealed := range []bool{false, true} {
		for _, with := range []string{"catalog", "no catalog", "a damaged catalog"} {
			t.Run(fmt.Sprintf("sealed %v, %s", sealed, with), func(t *testing.T) {
				t.Parallel()
				s := history(t, sealed)
				name := Name{Kind: Catalog, Number: 1, Sealed: sealed}.String()
				switch with {
				case "no catalog":
					if err := s.place.Delete(t.Context(), name); err != nil {
						t.Fatal(err)
					}
				case "a damaged catalog":
					s.place.Set(name, s.place.Bytes(name)[:40])
				}
				r := s.reader()
				if r.Database != "data.db" {
					t.Errorf("it is of database %q", r.Database)
				}
				if (len(r.Notes) > 0) != (with == "a damaged catalog") {
					t.Errorf("notes: %v", r.Notes)
				}
				one, two := s.entries[1].ID, "1.4"
				all, _, err := r.Points(t.Context(), points.Query{})
				var ids []string
				for _, p := range all {
					ids = append(ids, p.ID)
				}
				if want := []string{"2.2", "2.1", "1.6", "1.5", "1.4", "1.3", "1.2", "1.1", one}; err != nil || !slices.Equal(ids, want) {
					t.Errorf("points %q, %v; want %q", ids, err, want)
				}
				for _, e := range r.Backups() {
					state := catalog.Unverified
					if with == "catalog" {
						state = catalog.Verified
					}
					if e.Verification.State != state || r.Vouched(e) != (with == "catalog") || e.CreatedAt.IsZero() || e.Timeline.Number != 1 {
						t.Errorf("backup %+v; want it %s", e, state)
					}
				}
				for i, id := range []string{one, "1.1", "1.2", "1.3", two, "1.5", "1.6"} {
					s.has(s.reader(), Want{ID: id}, id, byte(10+i))
					s.has(s.reader(), Want{At: minute(i).Add(30 * time.Second)}, id, byte(10+i))
				}
				s.has(s.reader(), Want{ID: "2.1"}, "2.1", 21)
				s.has(s.reader(), Want{ID: s.entries[0].ID}, two, 14)
				s.has(s.reader(), Want{ID: "latest"}, two, 14)
				s.has(s.reader(), Want{}, "2.2", 22)
				s.has(s.reader(), Want{At: minute(10)}, "1.6", 16)
				s.has(s.reader(), Want{At: minute(100)}, "2.2", 22)
				s.has(s.reader(), Want{At: minute(-1)}, "", 0)
				s.has(s.reader(), Want{ID: "3.1"}, "", 0)
				s.has(s.reader(), Want{ID: "1.7"}, "", 0)
				s.has(s.reader(), Want{ID: "nonsense"}, "", 0)
			})
		}
	}
}

// Lost: a state that an older backup still leads to, or one whose segment cannot be read that is offered all the same.
func TestDamageAtTheRemote(t *testing.T) {
	t.Parallel()
	s := history(t, false)
	base := Name{Kind: Backup, Number: 2, ID: s.entries[0].ID}.String()
	good := s.place.Bytes(base)
	bad := bytes.Clone(good)
	bad[len(bad)-100] ^= 1 // of the metadata
	s.place.Set(base, bad)
	s.has(s.reader(), Want{ID: "1.5"}, "1.5", 15)
	r := s.reader()
	p, err := r.Find(t.Context(), Want{})
	if err != nil || p.ID != "2.2" {
		t.Fatalf("the newest is %s, %v", p.ID, err)
	}
	if _, err := r.Image(t.Context(), p); !errors.Is(err, archive.ErrDamaged) { // timeline 2 begins over it
		t.Errorf("2.2 without its base: %v", err)
	}
	s.place.Set(base, good)
	if err := s.place.Delete(t.Context(), "changes/1/000000003-000000004_20260101_120400.chg.zst"); err != nil {
		t.Fatal(err)
	}
	s.has(s.reader(), Want{ID: "1.3"}, "", 0)
	s.has(s.reader(), Want{ID: "1.5"}, "1.5", 15)
	name := "changes/1/000000005-000000006_20260101_120600.chg.zst"
	whole := s.place.Bytes(name)
	for n := range whole {
		if n%7 == 0 {
			damaged := bytes.Clone(whole)
			damaged[n] ^= 0x10
			s.place.Set(name, damaged)
			r := s.reader()
			p, err := r.Find(t.Context(), Want{ID: "1.5"})
			if err != nil {
				continue
			}
			i, err := r.Image(t.Context(), p)
			if err != nil {
				continue
			}
			if got, err := io.ReadAll(io.NewSectionReader(i, 0, i.Shape().Bytes())); err == nil && !bytes.Equal(got, state(15)) {
				t.Errorf("byte %d damaged: read as %d", n, got[0])
			}
			i.Close()
		}
	}
}

// Lost: a state in the place of another, because the store's owner or its disk changed one byte of what is there.
func TestEveryDamagedObject(t *testing.T) {
	t.Parallel()
	const step = 73
	for _, sealed := range []bool{false, true} {
		s := history(t, sealed)
		states := map[string]byte{s.entries[1].ID: 10, "1.1": 11, "1.4": 14, "1.6": 16, "2.2": 22}
		read, refused := 0, 0
		for _, name := range s.place.Names() {
			good := s.place.Bytes(name)
			for at := len(name) % step; at < len(good); at += step {
				bad := bytes.Clone(good)
				bad[at] ^= 1 << (at % 8)
				s.place.Set(name, bad)
				r, err := NewReader(t.Context(), s.place, ReadOptions{Identities: s.ids, Scratch: t.TempDir()})
				if err != nil {
					t.Errorf("byte %d of %s: %v", at, name, err)
					continue
				}
				for id, n := range states {
					p, err := r.Find(t.Context(), Want{ID: id})
					if err != nil {
						refused++
						continue
					}
					i, err := r.Image(t.Context(), p)
					if err != nil {
						refused++
						continue
					}
					got, err := io.ReadAll(io.NewSectionReader(i, 0, i.Shape().Bytes()))
					switch {
					case err != nil:
						refused++
					case !bytes.Equal(got, state(n)):
						t.Errorf("byte %d of %s: %s is read as %d", at, name, id, got[0])
					default:
						read++
					}
					i.Close()
				}
				r.Close()
			}
			s.place.Set(name, good)
		}
		if read < 60 || refused < 10 {
			t.Errorf("sealed %v: %d states were read, %d refused: too few to say anything", sealed, read, refused)
		}
	}
}

func FuzzDocument(f *testing.F) {
	text, err := EncodeDocument(Document{Format: documentFormat, Name: "data.db", Backups: []Stored{{Object: "x", Entry: catalog.Entry{ID: "x", Seq: 1}}}})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(text)
	f.Fuzz(func(t *testing.T, text []byte) {
		place := storetest.NewMemory()
		place.Set(Name{Kind: Catalog, Number: 1}.String(), text)
		place.Set(Name{Kind: Backup, Number: 1, ID: "x"}.String(), text)
		place.Set("changes/1/000000001-000000002_20260101_120000.chg.zst", text)
		r, err := NewReader(t.Context(), place, ReadOptions{Scratch: t.TempDir()})
		if err != nil {
			t.Fatal(err) // what is there is damaged, and no more
		}
		defer r.Close()
		if p, err := r.Find(t.Context(), Want{}); err == nil {
			t.Errorf("%+v was found", p)
		}
	})
}

// Lost: the difference between what is not there, what cannot be had now, and what cannot be read with this key.
func TestWhatCannotBeRead(t *testing.T) {
	t.Parallel()
	s := history(t, true)
	ctx := t.Context()
	keyless, err := NewReader(ctx, s.place, ReadOptions{Scratch: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	defer keyless.Close()
	all := keyless.Backups()
	if len(all) != 2 || all[0].ID != s.entries[0].ID || !all[0].CreatedAt.Equal(s.entries[0].CreatedAt) || all[0].Verification.State != catalog.Unverified {
		t.Errorf("without a key: %+v", all)
	}
	if _, err := keyless.OpenBackup(all[0]); !errors.Is(err, seal.ErrNoIdentity) {
		t.Errorf("opened without a key: %v", err)
	}
	if len(keyless.Notes) == 0 || !errors.Is(keyless.Notes[0], seal.ErrNoIdentity) {
		t.Errorf("notes %v", keyless.Notes)
	}
	if _, err := NewReader(ctx, storetest.NewMemory(), ReadOptions{}); !errors.Is(err, ErrNothing) {
		t.Errorf("an empty place: %v", err)
	}
	down := errors.New("down")
	for _, op := range []storetest.Op{storetest.List, storetest.Get} {
		s.place.Before(func(_ context.Context, is storetest.Op, _ string) error {
			if is == op {
				return down
			}
			return nil
		})
		if _, err := NewReader(ctx, s.place, ReadOptions{Identities: s.ids}); !errors.Is(err, down) {
			t.Errorf("a store whose %s is down: %v", op, err)
		}
	}
	s.place.Before(func(_ context.Context, is storetest.Op, name string) error {
		if is == storetest.Get && strings.HasPrefix(name, changesDir) {
			return down
		}
		return nil
	})
	if p, err := s.reader().Find(ctx, Want{ID: "1.3"}); !errors.Is(err, down) {
		t.Errorf("a segment that cannot be had now: %s, %v", p.ID, err)
	}
}

// Lost: requests for segments that are not needed, or a state for want of one that is.
func TestLeadingSegments(t *testing.T) {
	t.Parallel()
	segment := func(first, last uint64, at int) Name {
		return Name{Kind: Segment, Timeline: 1, First: first, Last: last, At: minute(at)}
	}
	log := []Name{segment(1, 10, 10), segment(11, 20, 20), segment(21, 30, 30), segment(31, 40, 40)}
	back := []Name{segment(1, 10, 10), segment(11, 20, 20), segment(21, 30, 15)}
	for _, c := range []struct {
		segments []Name
		bases    []uint64
		seq      uint64
		at       time.Time
		want     []Name
	}{
		{log, nil, 0, time.Time{}, log},
		{log, []uint64{20, 40, 5}, 0, time.Time{}, log[2:]},
		{log, []uint64{31}, 0, time.Time{}, log[3:]},
		{log, []uint64{20, 25}, 25, time.Time{}, log[2:3]},
		{log, []uint64{20, 25}, 24, time.Time{}, log[2:3]},
		{log, []uint64{20, 25}, 20, time.Time{}, nil}, // the backup has it
		{log, []uint64{20, 25}, 19, time.Time{}, log[:2]},
		{log, []uint64{20}, 41, time.Time{}, nil},
		{log, []uint64{20}, 0, minute(35), log[2:]},
		{log, []uint64{20}, 0, minute(25), log[:3]},
		{log, []uint64{11}, 0, minute(25), log[1:3]},
		{log, []uint64{20}, 0, minute(100), log[2:]},
		{log, []uint64{20}, 0, minute(-1), log[:1]},
		{back, []uint64{20}, 0, minute(16), back},
		{nil, []uint64{20}, 3, time.Time{}, nil},
	} {
		if got := leading(c.segments, c.bases, c.seq, c.at); !slices.Equal(got, c.want) {
			t.Errorf("bases %v, capture %d, at %v: %v, want %v", c.bases, c.seq, c.at, got, c.want)
		}
	}
}

// Lost: a file that is no sound database, or not whole, under the name that was asked for.
func TestUnpack(t *testing.T) {
	t.Parallel()
	s := history(t, false)
	r := s.reader()
	p, err := r.Find(t.Context(), Want{})
	if err != nil {
		t.Fatal(err)
	}
	i, err := r.Image(t.Context(), p)
	if err != nil {
		t.Fatal(err)
	}
	defer i.Close()
	dir := t.TempDir()
	target := filepath.Join(dir, "data.db")
	quick := integrity.LevelQuick
	var unsound *DamagedError
	if err := Unpack(t.Context(), i, target, UnpackOptions{Check: &quick}); !errors.As(err, &unsound) {
		t.Errorf("pages that are no database: %v", err)
	}
	if _, err := Prove(t.Context(), i, dir, UnpackOptions{Check: &quick}); !errors.As(err, &unsound) {
		t.Errorf("pages that are no database, proven: %v", err)
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
		t.Errorf("left are %v, %v", left, err)
	}
	if _, err := Prove(t.Context(), i, dir, UnpackOptions{}); err != nil {
		t.Error(err)
	}
	if err := Unpack(t.Context(), i, target, UnpackOptions{}); err != nil {
		t.Fatal(err)
	}
	if got, err := os.ReadFile(target); err != nil || !bytes.Equal(got, state(22)) {
		t.Errorf("restored: %d bytes, %v", len(got), err)
	}
	if err := Unpack(t.Context(), i, target, UnpackOptions{}); err == nil {
		t.Error("a file was replaced")
	}
}

// Lost: the state that was sealed, to what the owner of the store puts next to it without a key.
func TestWithAKeyOnlySealedCopiesCount(t *testing.T) {
	t.Parallel()
	s, forged := history(t, true), newSite(t, false)
	first := forged.backup(1, 66, 0, 1, "") // under an id that is there
	forged.backup(9, 67, 50, 1, "")
	for i := range 9 {
		forged.capture(1, uint64(i+1), byte(70+i), 51+i, first.ID)
	}
	forged.segment(1)
	forged.catalog(9)
	for _, name := range forged.place.Names() {
		if n, ok := Parse(name); ok && n.Kind != Description {
			s.place.Set(name, forged.place.Bytes(name))
		}
	}
	s.has(s.reader(), Want{}, "2.2", 22)
	s.has(s.reader(), Want{ID: "latest"}, "1.4", 14)
	s.has(s.reader(), Want{ID: first.ID}, first.ID, 10)
	s.has(s.reader(), Want{ID: "1.9"}, "", 0)
	r := s.reader()
	if len(r.Backups()) != 2 || len(r.Notes) != 1 || !strings.Contains(r.Notes[0].Error(), "4 objects") {
		t.Errorf("%d backups, notes: %v", len(r.Backups()), r.Notes)
	}
	for _, name := range s.place.Names() { // the sealed ones are removed
		if n, ok := Parse(name); ok && n.Sealed {
			if err := s.place.Delete(t.Context(), name); err != nil {
				t.Fatal(err)
			}
		}
	}
	if _, err := NewReader(t.Context(), s.place, ReadOptions{Identities: s.ids}); !errors.Is(err, ErrUnsealed) {
		t.Errorf("with nothing but what was put there: %v", err)
	}
}

// A remote whose copies are sealed from some time on: the catalog that is sealed says which of those before it are its own.
func TestSealedCatalogVouchesForOthers(t *testing.T) {
	t.Parallel()
	s := newSite(t, true)
	sealed := s.to
	s.to = s.place
	first := s.backup(1, 10, 0, 1, "")
	s.objects[0].Object = Name{Kind: Backup, Number: 1, ID: first.ID}.String()
	s.to = sealed
	s.capture(1, 1, 11, 1, first.ID)
	s.segment(1)
	s.catalog(1)
	s.has(s.reader(), Want{}, "1.1", 11)
	forged := newSite(t, false)
	forged.backup(1, 66, 0, 1, "")
	s.place.Set(s.objects[0].Object, forged.place.Bytes(s.objects[0].Object))
	r := s.reader()
	if p, err := r.Find(t.Context(), Want{ID: first.ID}); err == nil {
		if _, err := r.Image(t.Context(), p); !errors.Is(err, archive.ErrDamaged) {
			t.Errorf("another archive under its name: %v", err)
		}
	}
}
