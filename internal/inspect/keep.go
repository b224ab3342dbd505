package inspect

import (
	"bytes"
	"sync"
)

// Keep has page n, counted from 1, read from memory from now on, for one who knows that it will be. It keeps a copy, and
// returns false where there is no more room.
func (i *Image) Keep(n int64, page []byte) bool { return i.kept.add(n, page) }

// keptBytes bounds the pages that are kept.
const keptBytes = 32 << 20

// kept are pages in memory.
type kept struct {
	mu    sync.RWMutex
	size  int // of a page
	pages map[int64][]byte
}

func (k *kept) add(n int64, page []byte) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.pages == nil {
		k.size, k.pages = len(page), map[int64][]byte{}
	}
	if len(page) != k.size || (len(k.pages)+1)*k.size > keptBytes {
		return false
	}
	k.pages[n] = bytes.Clone(page)
	return true
}

// read fills b from a page that is kept.
func (k *kept) read(b []byte, off int64) bool {
	k.mu.RLock()
	defer k.mu.RUnlock()
	if k.size == 0 {
		return false
	}
	at := int(off % int64(k.size))
	page, ok := k.pages[off/int64(k.size)+1]
	if !ok || at+len(b) > k.size {
		return false
	}
	copy(b, page[at:])
	return true
}
