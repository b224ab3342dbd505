package dir

import (
	"cmp"
	"context"
	"errors"
	"io/fs"
	"iter"
	"os"
	"path"
	"slices"
	"strings"

	"example.com/snapd/internal/store"
)

// List implements [store.Store].
func (d *Dir) List(ctx context.Context, prefix, after string) iter.Seq2[store.Object, error] {
	return func(yield func(store.Object, error) bool) {
		root, err := bounded(ctx, d.enter)
		if err != nil {
			yield(store.Object{}, d.wrap("list", prefix, err))
			return
		}
		defer root.Close()
		w := walk{ctx: ctx, root: root, prefix: prefix, after: after, yield: yield}
		if err := w.dir("."); err != nil && !errors.Is(err, errEnough) {
			yield(store.Object{}, d.wrap("list", prefix, err))
		}
	}
}

// errEnough ends a walk whose caller has enough.
var errEnough = errors.New("enough")

// A walk goes through a tree in byte order of the whole names.
type walk struct {
	ctx           context.Context
	root          *os.Root
	prefix, after string
	yield         func(store.Object, error) bool
}

// An item is an object, or a directory, whose key ends with a slash: where its objects sort.
type item struct {
	key  string
	info fs.FileInfo // nil for a directory
}

func (w *walk) dir(dir string) error {
	items, err := bounded(w.ctx, func() ([]item, error) { return w.items(dir) })
	if errors.Is(err, fs.ErrNotExist) && dir != "." {
		return nil // removed meanwhile
	}
	if err != nil {
		return err
	}
	for _, item := range items {
		if item.info == nil {
			if err := w.dir(strings.TrimSuffix(item.key, "/")); err != nil {
				return err
			}
		} else if !w.yield(object(item.key, item.info), nil) {
			return errEnough
		}
	}
	return w.ctx.Err()
}

// items returns what of a directory is listed. Names that no object can have are files of others.
func (w *walk) items(dir string) ([]item, error) {
	entries, err := readDir(w.root, dir)
	if err != nil {
		return nil, err
	}
	var items []item
	for _, entry := range entries {
		name := path.Join(dir, entry.Name())
		switch {
		case store.CheckName(name) != nil:
		case entry.IsDir():
			if key := name + "/"; related(key, w.prefix) && (key > w.after || strings.HasPrefix(w.after, key)) {
				items = append(items, item{key: key})
			}
		case entry.Type().IsRegular() && strings.HasPrefix(name, w.prefix) && name > w.after:
			info, err := lstat(w.root, name)
			if errors.Is(err, fs.ErrNotExist) {
				continue // removed meanwhile
			}
			if err != nil {
				return nil, err
			}
			items = append(items, item{name, info})
		}
	}
	slices.SortFunc(items, func(a, b item) int { return cmp.Compare(a.key, b.key) })
	return items, nil
}

// related reports whether names that begin with key can begin with prefix.
func related(key, prefix string) bool {
	return strings.HasPrefix(key, prefix) || strings.HasPrefix(prefix, key)
}

func readDir(root *os.Root, dir string) ([]fs.DirEntry, error) {
	f, err := root.Open(dir)
	if err != nil {
		return nil, err
	}
	entries, err := f.ReadDir(-1)
	return entries, errors.Join(err, f.Close())
}
