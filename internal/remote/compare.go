package remote

import (
	"context"
	"errors"
	"fmt"
	"io"
	"path"

	"example.com/snapd/internal/changes"
	"example.com/snapd/internal/store"
)

// compareWithHere is compare for a copy without notes: its service was killed before it could do so, or its notes were lost.
// What is not here, or not ours to send, counts as the store has it until it is read back.
func (s *Sender) compareWithHere(ctx context.Context, there store.Store, n Name, c Copy, local Local) (Copy, error) {
	i := Item{Name: n, Entry: c.Entry}
	if c.Entry != nil && (c.Entry.Adopted || c.Entry.Timeline.Number < s.ledger.From) || n.Timeline != 0 && n.Timeline < s.ledger.From {
		return c, nil
	}
	plain := n
	plain.Sealed = false
	for _, l := range local.Segments {
		if n.Kind == Segment && l.Name == plain {
			i.Path = l.Path
		}
	}
	if c.Damaged != "" || i.Entry == nil && i.Path == "" {
		return c, nil
	}
	f, err := s.open(ctx, i)
	if err != nil {
		return c, context.Cause(ctx) // nil: then what is there may be better than what is here
	}
	defer f.Close() // only read
	return s.compare(ctx, there, n, c, f)
}

// compare proves a copy by the file here that it should be a copy of: by the store's checksum of it, else it is read back. What is sealed
// has other bytes each time: without a checksum of the store's nothing is known of it, and it is sent again.
func (s *Sender) compare(ctx context.Context, there store.Store, n Name, c Copy, f File) (Copy, error) {
	fi, err := f.Stat()
	switch {
	case err != nil:
		return c, fmt.Errorf("compare %s with what is here: %w", n, err)
	case n.Sealed && c.Size <= fi.Size():
		c.Damaged = fmt.Sprintf("it has %d bytes, less than what it seals", c.Size)
	case n.Sealed && c.Checksum == "":
		c.Damaged = "what was stored under its name was not noted, and cannot be compared with what is here"
	}
	if n.Sealed || c.Damaged != "" {
		c.Other = c.Damaged != ""
		return c, nil
	}
	digest, err := digestOf(ctx, c.Checksum, io.NewSectionReader(f, 0, fi.Size()))
	if err != nil {
		return c, fmt.Errorf("compare %s with what is here: %w", n, err)
	}
	same := c.Size == fi.Size() && c.Checksum == digest
	if c.Checksum == "" {
		back, err := ReadBack(ctx, there, Copy{Name: c.Name, Size: c.Size}, s.o.Now())
		if err != nil {
			return c, fmt.Errorf("read %s back: %w", n, err)
		}
		if same = back.Damaged == "" && c.Size == fi.Size() && back.Checksum == digest; same {
			c.Checksum, c.ReadBack = back.Checksum, back.ReadBack
		}
	}
	if !same && n.Kind == Segment { // the one here may have been thinned since
		same, err = s.sound(ctx, there, n, c)
	}
	if err == nil && !same {
		c.Damaged, c.Other = "it is not what is here", true
	}
	return c, err
}

// sound reports whether the pages of a segment at the remote are those that it says.
func (s *Sender) sound(ctx context.Context, there store.Store, n Name, c Copy) (bool, error) {
	b := newBlocks(ctx, unsealed{there, store.Object{Name: c.Name, Size: c.Size}})
	defer b.Close()
	err := changes.ProveSealed(path.Base(n.String()), b, c.Size)
	if errors.Is(err, changes.ErrDamaged) {
		return false, nil
	}
	return err == nil, err
}
