package changes

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
)

// looks is how often a View looks at a directory that changes while it looks.
const looks = 10

// View is a log as it is at one moment, for reading only. Another process, or a Log, may append, seal and
// thin meanwhile: nothing is cut off or removed here, and what was moved is looked for again. Its
// methods are for one goroutine at a time.
type View struct {
	dir  string
	log  Log
	held []*os.File // open segments; maps may read them
	// Damaged says what of the log cannot be read; the rest can.
	Damaged error
}

// Read looks at the log in dir. A last capture that is not whole is not there. fs.ErrNotExist: there is
// no capture.
func Read(ctx context.Context, dir string) (*View, error) {
	v := &View{dir: dir}
	if err := v.look(ctx); err != nil {
		return nil, errors.Join(err, v.Close())
	}
	return v, nil
}

// look makes v what the log is now.
func (v *View) look(ctx context.Context) (err error) {
	for try := range looks {
		if err := ctx.Err(); err != nil {
			return err
		}
		var same bool
		if same, err = v.lookOnce(try == looks-1); err == nil && same {
			return nil
		}
		if err != nil && !v.vanished(err) && !errors.Is(err, ErrDamaged) { // damage may be half of an append
			break
		}
	}
	if err == nil {
		err = errors.New("it changes all the time")
	}
	return fmt.Errorf("read the change log in %s: %w", v.dir, err)
}

// vanished reports whether a segment was sealed or thinned since its name was read.
func (v *View) vanished(err error) bool {
	var path *fs.PathError
	return errors.As(err, &path) && errors.Is(err, fs.ErrNotExist) && filepath.Dir(path.Path) == filepath.Clean(v.dir)
}

// lookOnce reports whether the segments were the same at its end. The open one is opened first: what is
// sealed meanwhile is in both. With lasting, damage of the open one is no append that is under way.
func (v *View) lookOnce(lasting bool) (same bool, err error) {
	l := Log{dir: v.dir, closed: true}
	if l.dec = v.log.dec; l.dec.frames == nil {
		if l.dec, err = newDecoders(); err != nil {
			return false, err
		}
	}
	v.log = l
	f, err := openFile(filepath.Join(v.dir, openName), os.O_RDONLY)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return false, err
	}
	if f != nil {
		v.held = append(v.held, f)
	}
	names, err := sealedIn(v.dir)
	if err != nil {
		return false, err
	}
	if l.sealed, err = widest(names); err != nil {
		return false, err
	}
	var damaged []error
	for _, s := range slices.Backward(l.sealed) {
		err := l.with(s, func(s *segment) error { l.head, l.seed = s.head, s.seed; return nil })
		if err == nil {
			break
		}
		if !errors.Is(err, ErrDamaged) {
			return false, err
		}
		damaged = append(damaged, err)
	}
	if f != nil {
		err := l.view(f)
		if err != nil && !(lasting && errors.Is(err, ErrDamaged)) {
			return false, err
		}
		damaged = append(damaged, err)
	}
	v.Damaged = errors.Join(damaged...)
	if l.head == (Head{}) || len(l.sealed) == 0 && len(l.list) == 0 {
		return false, cmp.Or(v.Damaged, fs.ErrNotExist)
	}
	v.log = l
	after, err := sealedIn(v.dir)
	return slices.Equal(names, after), err
}

// view takes the open segment's whole captures; with ErrDamaged those before the damage.
func (l *Log) view(f *os.File) error {
	fi, err := f.Stat()
	if err != nil {
		return err
	}
	s, err := openSegment(openName, f, fi.Size())
	if err != nil {
		return err
	}
	if l.head == (Head{}) {
		l.head, l.seed = s.head, s.seed
	} else if s.head != l.head {
		return fmt.Errorf("%s: %w: it is of another log", openName, ErrDamaged)
	}
	list, end, err := s.finished(l.dec.frames)
	if list = l.superseded(list); len(list) > 0 {
		s.size = end
		l.list, l.end, l.open = list, end, s
	}
	return err
}

// Head is what all captures have in common.
func (v *View) Head() Head { return v.log.head }

// Last is as Log.Last.
func (v *View) Last(ctx context.Context) (c Capture, ok bool, err error) {
	err = v.again(ctx, func() error {
		c, ok, err = v.log.Last()
		return err
	})
	return c, ok, err
}

// Map is as Log.Map: fs.ErrNotExist where the log has no such capture, or no longer. The view is closed
// after it.
func (v *View) Map(ctx context.Context, after, upTo uint64) (m *Map, err error) {
	err = v.again(ctx, func() error {
		m, err = v.log.Map(ctx, after, upTo)
		return err
	})
	return m, err
}

// again carries out a read, and again after a look where a segment had gone meanwhile.
func (v *View) again(ctx context.Context, read func() error) (err error) {
	for range looks {
		if err = read(); err == nil || !v.vanished(err) {
			return err
		}
		if err := v.look(ctx); err != nil {
			return err
		}
	}
	return err
}

// Close frees what reading needed.
func (v *View) Close() error {
	for _, f := range v.held {
		f.Close() // only read
	}
	v.held = nil
	v.log.dec.close()
	return nil
}
