package storetest

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"iter"
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"example.com/snapd/internal/store"
)

// Op is a method of a store.
type Op string

// The operations. A List is one call, and its name is the prefix.
const (
	Put    Op = "put"
	Get    Op = "get"
	Stat   Op = "stat"
	List   Op = "list"
	Delete Op = "delete"
)

// Memory is a store in memory whose faults a test chooses. It is safe for concurrent use.
type Memory struct {
	mu      sync.Mutex
	objects map[string]entry
	listed  map[string]entry // what List shows, nil: the objects
	before  func(ctx context.Context, op Op, name string) error
	after   func(op Op, name string) error
	body    func(name string, off int64, body []byte) []byte
	counts  map[Op]int
	puts    int // makes versions
}

type entry struct {
	data    []byte
	sum     string
	version string
	at      time.Time
}

// NewMemory returns an empty store without faults.
func NewMemory() *Memory {
	return &Memory{objects: map[string]entry{}, counts: map[Op]int{}}
}

// Before sets what runs at the beginning of each operation. It may wait, and its error is the operation's,
// which then has no effect. nil takes it away.
func (m *Memory) Before(hook func(ctx context.Context, op Op, name string) error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.before = hook
}

// After sets what runs once an operation has had its effect. Its error is the operation's all the same: an answer that
// got lost. A Get has no effect, and a List ends with it.
func (m *Memory) After(hook func(op Op, name string) error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.after = hook
}

// Body sets what replaces the bytes that a Get delivers. A shorter result is a connection that broke: the reader ends with
// io.ErrUnexpectedEOF. The hook may not write to body.
func (m *Memory) Body(hook func(name string, off int64, body []byte) []byte) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.body = hook
}

// FreezeList makes List show the objects of this moment, as a store does whose listing lags behind; false ends that.
func (m *Memory) FreezeList(on bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.listed = nil
	if on {
		m.listed = maps.Clone(m.objects)
	}
}

// Set stores data under name, over what is there, as another holder of the keys can.
func (m *Memory) Set(name string, data []byte) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.set(name, bytes.Clone(data))
}

// Bytes returns a copy of an object; nil when there is none.
func (m *Memory) Bytes(name string) []byte {
	m.mu.Lock()
	defer m.mu.Unlock()
	return bytes.Clone(m.objects[name].data)
}

// Names returns the names of all objects, in order.
func (m *Memory) Names() []string {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Sorted(maps.Keys(m.objects))
}

// Count returns how many operations of a kind were begun.
func (m *Memory) Count(op Op) int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.counts[op]
}

// set is called with the lock.
func (m *Memory) set(name string, data []byte) {
	if data == nil {
		data = []byte{}
	}
	m.puts++
	m.objects[name] = entry{data: data, sum: Checksum("sha256", data), version: strconv.Itoa(m.puts), at: time.Now()}
}

func (e entry) object(name string) store.Object {
	return store.Object{Name: name, Size: int64(len(e.data)), Modified: e.at, Version: e.version, Checksum: e.sum}
}

// begin counts an operation and lets the hook have its way.
func (m *Memory) begin(ctx context.Context, op Op, name string) error {
	m.mu.Lock()
	m.counts[op]++
	hook := m.before
	m.mu.Unlock()
	if op != List {
		if err := store.CheckName(name); err != nil {
			return err
		}
	}
	if hook != nil {
		if err := hook(ctx, op, name); err != nil {
			return fmt.Errorf("%s %s: %w", op, name, err)
		}
	}
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("%s %s: %w", op, name, err)
	}
	return nil
}

func (m *Memory) end(op Op, name string) error {
	m.mu.Lock()
	hook := m.after
	m.mu.Unlock()
	if hook == nil {
		return nil
	}
	if err := hook(op, name); err != nil {
		return fmt.Errorf("%s %s: %w", op, name, err)
	}
	return nil
}

// Put implements [store.Store].
func (m *Memory) Put(ctx context.Context, name string, src io.ReaderAt, size int64) (store.Object, error) {
	if err := store.CheckPut(name, size); err != nil {
		return store.Object{}, err
	}
	if err := m.begin(ctx, Put, name); err != nil {
		return store.Object{}, err
	}
	source, leave := store.Source(ctx, src)
	defer leave()
	data, err := io.ReadAll(io.NewSectionReader(source, 0, size))
	if err == nil && int64(len(data)) < size {
		err = io.ErrUnexpectedEOF
	}
	if err != nil {
		return store.Object{}, fmt.Errorf("put %s: %w", name, err)
	}
	m.mu.Lock()
	if _, taken := m.objects[name]; taken {
		m.mu.Unlock()
		return store.Object{}, fmt.Errorf("put %s: %w", name, store.ErrExists)
	}
	m.set(name, data)
	object := m.objects[name].object(name)
	m.mu.Unlock()
	if err := m.end(Put, name); err != nil {
		return store.Object{}, err
	}
	return object, nil
}

// find returns the object, or ErrMissing.
func (m *Memory) find(op Op, name string) (entry, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	e, ok := m.objects[name]
	if !ok {
		return entry{}, fmt.Errorf("%s %s: %w", op, name, store.ErrMissing)
	}
	return e, nil
}

// Get implements [store.Store].
func (m *Memory) Get(ctx context.Context, name, version string, off, n int64) (io.ReadCloser, error) {
	if err := store.CheckGet(name, off); err != nil {
		return nil, err
	}
	if err := m.begin(ctx, Get, name); err != nil {
		return nil, err
	}
	e, err := m.find(Get, name)
	if err != nil {
		return nil, err
	}
	if version != "" && version != e.version {
		return nil, fmt.Errorf("get %s: %w", name, store.ErrChanged)
	}
	if err := m.end(Get, name); err != nil {
		return nil, err
	}
	asked := n
	if n < 0 {
		asked = max(int64(len(e.data))-off, 0)
	}
	body := e.data[min(off, int64(len(e.data))):]
	body = body[:min(asked, int64(len(body)))]
	m.mu.Lock()
	hook := m.body
	m.mu.Unlock()
	if hook != nil {
		body = hook(name, off, body)
	}
	return &reader{ctx: ctx, Reader: bytes.NewReader(body), short: int64(len(body)) < asked}, nil
}

// A reader ends early when its context does, and as a broken connection does when it is short.
type reader struct {
	ctx   context.Context
	short bool
	*bytes.Reader
}

func (r *reader) Read(p []byte) (int, error) {
	if err := r.ctx.Err(); err != nil {
		return 0, err
	}
	n, err := r.Reader.Read(p)
	if err == io.EOF && r.short {
		err = io.ErrUnexpectedEOF
	}
	return n, err
}

// WriteTo hides that of bytes.Reader, which does not know about short.
func (r *reader) WriteTo(w io.Writer) (int64, error) {
	return io.Copy(w, struct{ io.Reader }{r})
}

func (r *reader) Close() error { return nil }

// Stat implements [store.Store].
func (m *Memory) Stat(ctx context.Context, name string) (store.Object, error) {
	if err := m.begin(ctx, Stat, name); err != nil {
		return store.Object{}, err
	}
	e, err := m.find(Stat, name)
	if err != nil {
		return store.Object{}, err
	}
	if err := m.end(Stat, name); err != nil {
		return store.Object{}, err
	}
	return e.object(name), nil
}

// List implements [store.Store].
func (m *Memory) List(ctx context.Context, prefix, after string) iter.Seq2[store.Object, error] {
	return func(yield func(store.Object, error) bool) {
		if err := m.begin(ctx, List, prefix); err != nil {
			yield(store.Object{}, err)
			return
		}
		m.mu.Lock()
		listed := m.listed
		if listed == nil {
			listed = maps.Clone(m.objects)
		}
		m.mu.Unlock()
		for _, name := range slices.Sorted(maps.Keys(listed)) {
			if !strings.HasPrefix(name, prefix) || name <= after {
				continue
			}
			if err := ctx.Err(); err != nil {
				yield(store.Object{}, fmt.Errorf("list %s: %w", prefix, err))
				return
			}
			if !yield(listed[name].object(name), nil) {
				return
			}
		}
		if err := m.end(List, prefix); err != nil {
			yield(store.Object{}, err)
		}
	}
}

// Delete implements [store.Store].
func (m *Memory) Delete(ctx context.Context, name string) error {
	if err := m.begin(ctx, Delete, name); err != nil {
		return err
	}
	m.mu.Lock()
	_, ok := m.objects[name]
	delete(m.objects, name)
	m.mu.Unlock()
	if !ok {
		return fmt.Errorf("delete %s: %w", name, store.ErrMissing)
	}
	return m.end(Delete, name)
}

// Abilities implements [store.Store].
func (m *Memory) Abilities() store.Abilities {
	return store.Abilities{Exclusive: true, Checksum: "sha256"}
}

func (m *Memory) String() string { return "memory:" }
