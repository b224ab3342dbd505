package remote

import (
	"cmp"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"hash"
	"hash/crc64"
	"io"
	"slices"
	"strings"
	"time"

	"example.com/snapd/internal/store"
)

// share are the copies to read back now: those that were not within proveAll, and enough others that all are in that time. Damaged ones are
// among them: what was wrong may have been put right.
func share(copies []Copy, now time.Time) (list []Copy) {
	order := make([]Copy, 0, len(copies))
	var total int64
	for _, c := range copies {
		if n, ok := Parse(c.Name); ok && !c.Other && (n.Kind == Backup || n.Kind == Segment) {
			order = append(order, c)
			total += c.Size
		}
	}
	slices.SortStableFunc(order, func(a, b Copy) int { return cmp.Or(a.proven(now).Compare(b.proven(now)), cmp.Compare(a.Name, b.Name)) })
	portion := total/int64(proveAll/proveEvery) + 1
	for _, c := range order {
		if portion <= 0 && now.Sub(c.proven(now)) < proveAll-proveEvery {
			break
		}
		portion -= c.Size
		list = append(list, c)
	}
	return list
}

// proven is when the copy was proven last: read back, else stored. A proof of the future was made by a clock that was wrong, and counts as
// none: the zero time.
func (c Copy) proven(now time.Time) (at time.Time) {
	if at = c.At; c.ReadBack != nil {
		at = *c.ReadBack
	}
	if at.After(now) {
		return time.Time{}
	}
	return at
}

// proveShare reads a share of the copies back.
func (s *Sender) proveShare(ctx context.Context) error {
	clear(s.immovable)
	s.refused = false
	var bytes int64
	list := share(s.ledger.Copies, s.o.Now())
	for _, c := range list {
		var now Copy
		err := s.meanwhile(ctx, func(ctx context.Context) (err error) {
			now, err = ReadBack(ctx, s.place.Store, c, s.o.Now())
			return err
		})
		if err != nil {
			return fmt.Errorf("read %s back from remote %s: %w", c.Name, s.o.Name, err)
		}
		s.ledger.put(now)
		s.unsaved = true
		bytes += c.Size
		switch n, _ := Parse(c.Name); {
		case now.Damaged != "" && c.Damaged == "":
			s.save()
			s.o.Host.Report(Event{Kind: Damaged, Backup: n.ID, Message: fmt.Sprintf("%s at remote %s is damaged: %s", c.Name, s.o.Name, now.Damaged)})
		case now.Damaged == "" && c.Damaged != "":
			s.save()
			s.o.Host.Report(Event{Kind: Notice, Backup: n.ID, Message: fmt.Sprintf("%s at remote %s is whole again; what was wrong: %s", c.Name, s.o.Name, c.Damaged)})
		}
	}
	at := s.o.Now().UTC()
	s.ledger.Proven = &at
	s.save()
	if len(list) > 0 {
		s.o.Host.Report(Event{Kind: Proven, Bytes: bytes, Message: fmt.Sprintf("read %d objects back from remote %s", len(list), s.o.Name)})
	}
	return nil
}

// ReadBack downloads an object and compares it with what was stored. Damage, which two readings found, is in the copy that it returns; an error
// says that it could not be found out.
func ReadBack(ctx context.Context, s store.Store, c Copy, now time.Time) (Copy, error) {
	if c.Other {
		return c, nil
	}
	was := c.Damaged
	c, err := readBack(ctx, s, c, now)
	if err == nil && c.Damaged != "" && was == "" {
		c, err = readBack(ctx, s, c, now)
	}
	return c, err
}

func readBack(ctx context.Context, s store.Store, c Copy, now time.Time) (Copy, error) {
	at := now.UTC()
	r, err := s.Get(ctx, c.Name, "", 0, -1)
	if errors.Is(err, store.ErrMissing) {
		c.Damaged, c.ReadBack = "it is gone", &at
		return c, nil
	}
	if err != nil {
		return c, err
	}
	defer r.Close() // only read
	n := &counter{r: r}
	digest, err := digestOf(ctx, c.Checksum, n)
	if err != nil {
		return c, err
	}
	c.ReadBack = &at
	switch {
	case n.n != c.Size:
		c.Damaged = fmt.Sprintf("it has %d bytes, and %d were stored", n.n, c.Size)
	case c.Checksum != "" && digest != c.Checksum:
		c.Damaged = "its bytes are not those that were stored"
	default:
		c.Checksum, c.Damaged = digest, "" // of a store that has none, the first reading is what the next ones are compared with
	}
	return c, nil
}

type counter struct {
	r io.Reader
	n int64
}

func (c *counter) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	c.n += int64(n)
	return n, err
}

// nvme is the polynomial of CRC-64/NVME, reversed.
var nvme = crc64.MakeTable(0x9a6c9329ac4bc9b5)

// digestOf reads r to its end, and returns its digest of the kind that like is of; of no known kind, a SHA-256.
func digestOf(ctx context.Context, like string, r io.Reader) (string, error) {
	kind, _, _ := strings.Cut(like, ":")
	var h hash.Hash
	switch kind {
	case "crc64nvme":
		h = crc64.New(nvme)
	case "sha256", "":
		kind, h = "sha256", sha256.New()
	default:
		return "", fmt.Errorf("a checksum of an unknown kind: %.40q", like)
	}
	buf := make([]byte, 256<<10)
	for {
		if err := ctx.Err(); err != nil {
			return "", err
		}
		n, err := r.Read(buf)
		h.Write(buf[:n])
		if err == io.EOF {
			return fmt.Sprintf("%s:%x", kind, h.Sum(nil)), nil
		}
		if err != nil {
			return "", err
		}
	}
}
