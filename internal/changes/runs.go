package changes

import (
	"context"
	"errors"
	"io/fs"
	"iter"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"
)

// Run is captures without a gap between them: a base that has the changes up to After or a later one of them
// gives the image of each after it.
type Run struct {
	After   uint64
	Damaged error      // why it ends; nil where the log does, or the next segment is missing
	lists   [][]Listed // of its segments
}

// Len is how many captures it has.
func (r *Run) Len() (n int) {
	for _, list := range r.lists {
		n += len(list)
	}
	return n
}

// Captures yields them in order.
func (r *Run) Captures() iter.Seq[*Listed] {
	return func(yield func(*Listed) bool) {
		for _, list := range r.lists {
			for i := range list {
				if !yield(&list[i]) {
					return
				}
			}
		}
	}
}

// Cache keeps the captures of sealed segments, which do not change, between one look at a log and the next. Its
// zero value is empty; nil keeps nothing. It may be used concurrently.
type Cache struct {
	mu       sync.Mutex
	segments map[string]cachedSegment // by path
}

type cachedSegment struct {
	bytes    int64
	at       time.Time // of the file
	captures []Listed
}

func (c *Cache) get(path string, fi fs.FileInfo) ([]Listed, bool) {
	if c == nil {
		return nil, false
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	s, ok := c.segments[path]
	return s.captures, ok && s.bytes == fi.Size() && s.at.Equal(fi.ModTime())
}

func (c *Cache) put(path string, fi fs.FileInfo, captures []Listed) {
	if c == nil {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.segments == nil {
		c.segments = map[string]cachedSegment{}
	}
	c.segments[path] = cachedSegment{fi.Size(), fi.ModTime(), captures}
}

// forget drops the segments of a directory that are no longer there.
func (c *Cache) forget(dir string, there []Sealed) {
	if c == nil {
		return
	}
	names := map[string]bool{}
	for _, s := range there {
		names[filepath.Join(dir, s.Name)] = true
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for path := range c.segments {
		if !names[path] && strings.HasPrefix(path, dir+string(filepath.Separator)) {
			delete(c.segments, path)
		}
	}
}

// Runs lists all captures, in order. A segment that is damaged or missing ends a run: what follows it needs
// a base of its own.
func (v *View) Runs(ctx context.Context, c *Cache) (runs []Run, err error) {
	err = v.again(ctx, func() (err error) {
		runs, err = v.log.runs(ctx, c)
		return err
	})
	return runs, err
}

// Count is how many captures the log has.
func (l *Log) Count(ctx context.Context) (n int, err error) {
	runs, err := l.runs(ctx, nil)
	for _, r := range runs {
		n += r.Len()
	}
	return n, err
}

func (l *Log) runs(ctx context.Context, c *Cache) (runs []Run, err error) {
	upTo := uint64(0) // of the last run; 0 where nothing goes on from it
	take := func(first, last uint64, list []Listed) {
		if n := len(runs); n == 0 || first != upTo+1 {
			runs = append(runs, Run{After: first - 1})
		}
		run := &runs[len(runs)-1]
		run.lists = append(run.lists, list)
		if upTo = last; len(list) == 0 || list[len(list)-1].Seq != last {
			upTo = 0
		}
	}
	for _, s := range l.sealed {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		list, err := l.sealedCaptures(s, c)
		if err != nil && !errors.Is(err, ErrDamaged) {
			return nil, err
		}
		take(s.First, s.Last, list)
		runs[len(runs)-1].Damaged = err
	}
	c.forget(l.dir, l.sealed)
	if n := len(l.list); n > 0 {
		take(l.list[0].Seq, l.list[n-1].Seq, asListed(l.list))
	}
	return runs, nil
}

// sealedCaptures lists the captures of a sealed segment, also those before damage.
func (l *Log) sealedCaptures(s Sealed, c *Cache) (list []Listed, err error) {
	path := l.path(s)
	fi, err := os.Lstat(path)
	if err != nil {
		return nil, err
	}
	if list, ok := c.get(path, fi); ok {
		return list, nil
	}
	err = l.with(s, func(s *segment) (err error) {
		list, err = s.listed()
		return err
	})
	if err == nil {
		c.put(path, fi, list)
	}
	return list, err
}
