package dir

import (
	"context"
	"errors"
	"io/fs"
	"iter"
	"os"

	"example.com/snapd/internal/store"
)

// List implements [store.Store].
func (d *Dir) List(ctx context.Context, prefix, after string) iter.Seq2[store.Object, error] {
	return func(yield func(store.Object, error) bool) {
		root, err := store.Bounded(ctx, d.enter)
		if err != nil {
			yield(store.Object{}, d.wrap("list", prefix, err))
			return
		}
		defer root.Close()
		tree := store.Tree{
			ReadDir: func(dir string) ([]fs.DirEntry, error) { return readDir(root, dir) },
			Object: func(name string, _ fs.DirEntry) (store.Object, error) {
				info, err := lstat(root, name)
				if err != nil {
					return store.Object{}, err
				}
				return object(name, info), nil
			},
		}
		if err := tree.List(ctx, prefix, after, yield); err != nil {
			yield(store.Object{}, d.wrap("list", prefix, err))
		}
	}
}

func readDir(root *os.Root, dir string) ([]fs.DirEntry, error) {
	f, err := root.Open(dir)
	if err != nil {
		return nil, err
	}
	entries, err := f.ReadDir(-1)
	return entries, errors.Join(err, f.Close())
}
