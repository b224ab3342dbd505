package remote

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"example.com/snapd/internal/store"
)

// Probe is one thing that Check tried.
type Probe struct {
	What   string `json:"what"`
	OK     bool   `json:"ok"`
	Needed bool   `json:"needed"` // without it nothing can be sent
	Detail string `json:"detail"` // how it went; "" where there is nothing to say
}

const (
	probeDir   = "probe/"
	probeBytes = 100_000
)

// Check tries what a remote has to do, with an object of its own, which it removes.
func Check(ctx context.Context, p Place) []Probe {
	c := &checking{ctx: ctx, s: p.Store, name: probeDir + strings.ToLower(rand.Text()), content: make([]byte, probeBytes)}
	_, _ = rand.Read(c.content) // it never fails
	c.try("list what is there", true, c.list)
	if c.try("store an object", true, c.put) {
		c.try("refuse to store another object under its name", true, c.again)
		c.try("read the object back", false, c.read)
		c.try("read a part of it", false, c.part)
		c.try("find it in a list", true, c.listed)
		c.try("remove it", false, c.remove)
	}
	a := p.Store.Abilities()
	kind := a.Checksum
	if kind == "" {
		kind = "none; what is sent is taken as stored when the store says so"
	}
	c.probes = append(c.probes, Probe{What: "prove what is stored by a checksum", OK: a.Checksum != "", Detail: kind})
	exclusive := "of two writers at the same instant one is refused"
	if !a.Exclusive {
		exclusive = a.Reason
	}
	c.probes = append(c.probes, Probe{What: "keep two writers apart", OK: a.Exclusive, Detail: exclusive})
	return c.probes
}

type checking struct {
	ctx     context.Context
	s       store.Store
	name    string
	content []byte
	probes  []Probe
}

func (c *checking) try(what string, needed bool, fn func() (string, error)) bool {
	detail, err := fn()
	if err != nil {
		detail = err.Error()
	}
	c.probes = append(c.probes, Probe{What: what, OK: err == nil, Needed: needed, Detail: detail})
	return err == nil
}

func (c *checking) list() (string, error) {
	n := 0
	for _, err := range c.s.List(c.ctx, "", "") {
		if err != nil {
			return "", err
		}
		n++
	}
	return fmt.Sprintf("%d objects", n), nil
}

func (c *checking) put() (string, error) {
	o, err := c.s.Put(c.ctx, c.name, bytes.NewReader(c.content), probeBytes)
	return o.Checksum, err
}

func (c *checking) again() (string, error) {
	_, err := c.s.Put(c.ctx, c.name, bytes.NewReader(c.content[1:]), probeBytes-1)
	switch {
	case errors.Is(err, store.ErrExists):
		return "", nil
	case err == nil:
		return "", errors.New("it was replaced")
	}
	return "", err
}

func (c *checking) read() (string, error) { return c.get(0, -1, c.content) }

func (c *checking) part() (string, error) { return c.get(1000, 70_000, c.content[1000:71_000]) }

func (c *checking) get(off, n int64, want []byte) (string, error) {
	r, err := c.s.Get(c.ctx, c.name, "", off, n)
	if err != nil {
		return "", err
	}
	defer r.Close() // only read
	got, err := io.ReadAll(io.LimitReader(r, probeBytes+1))
	if err == nil && !bytes.Equal(got, want) {
		err = errors.New("it is not what was stored")
	}
	return "", err
}

func (c *checking) listed() (string, error) {
	for o, err := range c.s.List(c.ctx, probeDir, "") {
		if err != nil {
			return "", err
		}
		if o.Name == c.name {
			return "", nil
		}
	}
	return "", errors.New("the list does not show it")
}

func (c *checking) remove() (string, error) {
	err := c.s.Delete(c.ctx, c.name)
	if err != nil {
		err = fmt.Errorf("%w; %s stays there. With delete = false nothing is removed", err, c.name)
	}
	return "", err
}

// Verified is what Verify found of a remote.
type Verified struct {
	Name    string  `json:"name"`
	Objects int     `json:"objects"`
	Bytes   int64   `json:"bytes"` // of those that are whole
	Damaged []Wrong `json:"damaged"`
	// ReadBack: the bytes were downloaded and compared; else the store was asked for size and checksum.
	ReadBack bool `json:"read_back"`
}

// Wrong is an object that is not what was stored.
type Wrong struct {
	Object string `json:"object"`
	What   string `json:"what"`
}

// Verify proves every copy that the ledger has: by what the store says of it, or by reading it back. It returns the copies as they
// are now; an error says that something could not be found out.
func Verify(ctx context.Context, s store.Store, l Ledger, readBack bool, now time.Time) (v Verified, copies []Copy, err error) {
	v = Verified{Name: l.Remote, Damaged: []Wrong{}, ReadBack: readBack}
	for _, c := range l.Copies {
		if readBack {
			c, err = ReadBack(ctx, s, c, now)
		} else {
			c, err = statCopy(ctx, s, c)
		}
		if err != nil {
			return v, nil, fmt.Errorf("verify %s at remote %s: %w", c.Name, l.Remote, err)
		}
		v.Objects++
		if c.Damaged != "" {
			v.Damaged = append(v.Damaged, Wrong{c.Name, c.Damaged})
		} else {
			v.Bytes += c.Size
		}
		copies = append(copies, c)
	}
	return v, copies, nil
}

// statCopy asks the store for what it knows of a copy.
func statCopy(ctx context.Context, s store.Store, c Copy) (Copy, error) {
	o, err := s.Stat(ctx, c.Name)
	switch {
	case errors.Is(err, store.ErrMissing):
		c.Damaged = "it is gone"
	case err != nil:
		return c, err
	case o.Size != c.Size:
		c.Damaged = fmt.Sprintf("it has %d bytes, and %d were stored", o.Size, c.Size)
	case o.Checksum != "" && c.Checksum != "" && o.Checksum != c.Checksum:
		c.Damaged = "its checksum is not that of what was stored"
	}
	return c, nil
}
