package store

import (
	"cmp"
	"context"
	"errors"
	"io/fs"
	"path"
	"slices"
	"strings"
)

// A Tree is what the objects of a store are files in.
type Tree struct {
	// ReadDir returns what is in a directory, "." for the uppermost.
	ReadDir func(dir string) ([]fs.DirEntry, error)
	// Object returns what is known about a regular file.
	Object func(name string, entry fs.DirEntry) (Object, error)
}

// errEnough ends a walk whose caller has enough.
var errEnough = errors.New("enough")

// List calls yield with the objects of the tree as [Store.List] has them: in byte order of their names.
func (t Tree) List(ctx context.Context, prefix, after string, yield func(Object, error) bool) error {
	w := walk{Tree: t, ctx: ctx, prefix: prefix, after: after, yield: yield}
	if err := w.dir("."); !errors.Is(err, errEnough) {
		return err
	}
	return nil
}

type walk struct {
	Tree
	ctx           context.Context
	prefix, after string
	yield         func(Object, error) bool
}

// An item is an object, or a directory, whose key ends with a slash: where its objects sort.
type item struct {
	key    string
	object Object
	dir    bool
}

func (w *walk) dir(dir string) error {
	items, err := Bounded(w.ctx, func() ([]item, error) { return w.items(dir) })
	if errors.Is(err, fs.ErrNotExist) && dir != "." {
		return nil // removed meanwhile
	}
	if err != nil {
		return err
	}
	for _, item := range items {
		if err := context.Cause(w.ctx); err != nil {
			return err
		}
		if item.dir {
			if err := w.dir(strings.TrimSuffix(item.key, "/")); err != nil {
				return err
			}
		} else if !w.yield(item.object, nil) {
			return errEnough
		}
	}
	return nil
}

// items returns what of a directory is listed. Names that no object can have are files of others.
func (w *walk) items(dir string) ([]item, error) {
	entries, err := w.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	var items []item
	for _, entry := range entries {
		name := path.Join(dir, entry.Name())
		switch {
		case CheckName(name) != nil:
		case entry.IsDir():
			if key := name + "/"; related(key, w.prefix) && (key > w.after || strings.HasPrefix(w.after, key)) {
				items = append(items, item{key: key, dir: true})
			}
		case entry.Type().IsRegular() && strings.HasPrefix(name, w.prefix) && name > w.after:
			object, err := w.Object(name, entry)
			if errors.Is(err, fs.ErrNotExist) {
				continue // removed meanwhile
			}
			if err != nil {
				return nil, err
			}
			items = append(items, item{key: name, object: object})
		}
	}
	slices.SortFunc(items, func(a, b item) int { return cmp.Compare(a.key, b.key) })
	return items, nil
}

// related reports whether names that begin with key can begin with prefix.
func related(key, prefix string) bool {
	return strings.HasPrefix(key, prefix) || strings.HasPrefix(prefix, key)
}
