package remote

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"net"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/gofrs/flock"

	"example.com/snapd/integrity"
	"example.com/snapd/internal/archive"
	"example.com/snapd/internal/durable"
	"example.com/snapd/internal/livedb"
	"example.com/snapd/internal/message"
	"example.com/snapd/internal/store"
	"example.com/snapd/internal/swap"
	"example.com/snapd/internal/trust"
)

// DamagedError carries the report of an image that was read as it was sealed, and is no sound database.
type DamagedError struct{ Report integrity.Report }

func (e *DamagedError) Error() string {
	msg := string(e.Report.Verdict)
	if len(e.Report.Findings) > 0 {
		msg += ": " + e.Report.Findings[0].Message
	}
	return "the image is not a sound database: " + msg
}

// UnpackOptions of Unpack.
type UnpackOptions struct {
	// Check, when not nil, is the level at which the file is checked before it has its name.
	Check    *integrity.Level
	Progress func(doneBytes int64)
	// Resumed hears how many bytes were there from an Unpack to the same target that was cut short; nil for none.
	Resumed func(bytes int64)
}

// Unpack writes an image to the new file target, and proves every page on the way. The file has its name once it is whole,
// proven and on the disk. What dies before, or could not read on, leaves a temporary file next to it, with whose pages the next Unpack to there goes on. Errors: swap.ErrUnsafe, durable.ErrNoSpace,
// a *DamagedError, and those of reading the image.
func Unpack(ctx context.Context, image archive.Image, target string, o UnpackOptions) (err error) {
	real, err := livedb.Resolve(target)
	if err == nil {
		err = swap.AcceptOther("", "", real, false)
	}
	if err != nil {
		return fmt.Errorf("restore to %s: %w", target, err)
	}
	f, err := durable.Reopen(real)
	if err == nil {
		if err = resume(ctx, image, f, o); err != nil {
			return fmt.Errorf("restore to %s: %w", target, left(ctx, f, err))
		}
	} else if f, err = Stage(ctx, image, real, o); err != nil {
		return fmt.Errorf("restore to %s: %w", target, err)
	}
	if err := f.CommitNew(); err != nil {
		return fmt.Errorf("restore to %s: %w", target, errors.Join(err, f.Discard()))
	}
	if _, err := durable.SweepFor(filepath.Dir(real), filepath.Base(real)); err != nil { // of others that were cut short
		return fmt.Errorf("restore to %s: %w", target, err)
	}
	return nil
}

// Stage writes an image to a temporary file next to target, and proves every page on the way. Errors are those of Unpack.
func Stage(ctx context.Context, image archive.Image, target string, o UnpackOptions) (*durable.File, error) {
	if err := durable.Fits(filepath.Dir(target), image.Shape().Bytes()); err != nil {
		return nil, err
	}
	f, err := durable.Create(target, 0o600)
	if err != nil {
		return nil, err
	}
	err = image.Unpack(ctx, f, archive.CopyOptions{Progress: o.Progress})
	if err == nil && o.Check != nil {
		_, err = check(ctx, f.Name(), *o.Check)
	}
	if err != nil {
		return nil, left(ctx, f, err)
	}
	return f, nil
}

// left is err, after which the file stays where reading failed for reasons that may be gone the next time.
func left(ctx context.Context, f *durable.File, err error) error {
	if Unusable(err) || durable.IsNoSpace(err) || ctx.Err() == nil && !errors.Is(err, store.ErrGone) && !transient(err) {
		return errors.Join(err, f.Discard())
	}
	return message.WithHint(errors.Join(err, f.Leave()), "what was read so far is kept in "+f.Name()+"; the same command goes on with it, or remove it")
}

// resume completes a file that has some pages of an image. Each page that is there is proven by its digest, as those are that it reads.
func resume(ctx context.Context, image archive.Image, f *durable.File, o UnpackOptions) error {
	shape := image.Shape()
	st, err := f.Descriptor().Stat()
	if err == nil {
		err = durable.Fits(filepath.Dir(f.Name()), shape.Bytes()-min(st.Size(), shape.Bytes()))
	}
	if err == nil {
		err = f.Descriptor().Truncate(shape.Bytes())
	}
	if err == nil {
		err = image.ProveDigests()
	}
	if err != nil {
		return err
	}
	kept := int64(0)
	err = image.ReadPages(ctx, lacking(image, f, func(pgno int64, there bool) {
		if there {
			kept += int64(shape.PageSize)
		}
		if o.Progress != nil {
			o.Progress(pgno * int64(shape.PageSize))
		}
	}), archive.CopyOptions{}, func(pgno int64, page []byte) error {
		_, err := f.WriteAt(page, (pgno-1)*int64(shape.PageSize))
		return err
	})
	if err != nil {
		return err
	}
	if o.Resumed != nil {
		o.Resumed(kept)
	}
	for pgno, err := range lacking(image, f, func(int64, bool) {}) { // what the disk gives back counts
		if err == nil {
			err = fmt.Errorf("page %d is not what was written: check that disk", pgno)
		}
		return err
	}
	if o.Check != nil {
		_, err = check(ctx, f.Name(), *o.Check)
	}
	return err
}

// lacking are the pages of an image that a file does not have as the digests say; each hears of all pages.
func lacking(image archive.Image, f io.ReaderAt, each func(pgno int64, there bool)) iter.Seq2[int64, error] {
	return func(yield func(int64, error) bool) {
		shape, digests, want := image.Shape(), image.Digests(), []byte(nil)
		page := make([]byte, shape.PageSize)
		for pgno := int64(1); pgno <= shape.PageCount; pgno++ {
			if len(want) == 0 {
				var err error
				if want, err = digests.Next(1 << 12); err == nil && len(want) == 0 {
					err = fmt.Errorf("%w: page digests end at page %d", archive.ErrDamaged, pgno)
				}
				if err != nil {
					yield(0, err)
					return
				}
			}
			_, err := f.ReadAt(page, (pgno-1)*int64(shape.PageSize))
			if err != nil && err != io.EOF {
				yield(0, err)
				return
			}
			d := archive.PageDigest(image.Seed(), pgno, page)
			there := bytes.Equal(d[:], want[:len(d)])
			want = want[len(d):]
			each(pgno, there)
			if !there && !yield(pgno, nil) {
				return
			}
		}
	}
}

// transient reports whether a connection is what failed.
func transient(err error) bool {
	return errors.Is(err, store.ErrThrottled) || errors.Is(err, io.ErrUnexpectedEOF) || errors.As(err, new(net.Error))
}

// check checks a private file.
func check(ctx context.Context, path string, level integrity.Level) (integrity.Verdict, error) {
	report, err := integrity.CheckCopy(ctx, path, integrity.Options{Level: level, Untrusted: true})
	if err == nil && report.Damaged() {
		err = &DamagedError{report}
	}
	return report.Verdict, err
}

// Prove proves every byte of an image, and with a level checks it in a scratch file in dir and returns the verdict.
func Prove(ctx context.Context, image archive.Image, dir string, o UnpackOptions) (verdict integrity.Verdict, err error) {
	if o.Check == nil {
		return "", image.Verify(ctx, archive.CopyOptions{Progress: o.Progress})
	}
	if err := durable.Fits(dir, image.Shape().Bytes()); err != nil {
		return "", err
	}
	f, err := durable.Scratch(dir, "proof")
	if err != nil {
		return "", err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	if err := image.Unpack(ctx, f, archive.CopyOptions{Progress: o.Progress}); err != nil {
		return "", err
	}
	return check(ctx, f.Name(), *o.Check)
}

// scratchName begins the names of the directories that MakeScratch makes.
const scratchName = durable.TempPrefix + "changes-"

// MakeScratch makes a private directory in dir, "" for the system's, for the segments that a Reader needs. Those that
// processes left which are gone are removed first: each has a file that its process keeps locked.
func MakeScratch(dir string) (path string, remove func(), err error) {
	if dir == "" {
		dir = os.TempDir()
	}
	sweepScratch(dir)
	if path, err = os.MkdirTemp(dir, scratchName); err != nil {
		return "", nil, fmt.Errorf("make a directory for the change log: %w", err)
	}
	lock := flock.New(filepath.Join(path, scratchLock))
	remove = func() {
		_ = lock.Close()
		_ = os.RemoveAll(path) // what stays is removed the next time
	}
	if _, err := lock.TryLock(); err != nil {
		remove()
		return "", nil, fmt.Errorf("make a directory for the change log: %w", err)
	}
	return path, remove, nil
}

// unlocked is how long a directory may be without its lock: it is made in two steps.
const unlocked = time.Hour

// sweepScratch removes what other processes left. What cannot be removed is another user's.
func sweepScratch(dir string) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return // making one there says why
	}
	for _, e := range entries {
		fi, err := e.Info()
		if err != nil || !strings.HasPrefix(e.Name(), scratchName) || !private(fi) {
			continue
		}
		path := filepath.Join(dir, e.Name())
		if _, err := os.Lstat(filepath.Join(path, scratchLock)); err != nil && time.Since(fi.ModTime()) < unlocked {
			continue
		}
		lock := flock.New(filepath.Join(path, scratchLock))
		gone, err := lock.TryLock()
		_ = lock.Close()
		if err == nil && gone {
			_ = os.RemoveAll(path)
		}
	}
}

// private reports whether it is a directory into which no other user can put anything: in one of others the lock may be a pipe,
// or a link to a file that there is to be.
func private(fi fs.FileInfo) bool {
	if uid, known := trust.OwnerOf(fi); known && (uid != os.Geteuid() || fi.Mode().Perm() != 0o700) {
		return false
	}
	return fi.IsDir()
}

const scratchLock = ".lock"
