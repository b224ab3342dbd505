package httpapi

import (
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"runtime"
	"strings"
	"sync"
	"time"

	"example.com/snapd/internal/durable"
	"example.com/snapd/snapshot"
)

// Bounds of a token, in bytes. One made here has 256 random bits.
const (
	minToken  = 16
	maxToken  = 1024
	tokenBits = 256
)

// hinted is an error with advice that [snapshot.Hint] finds.
type hinted struct {
	error
	advice string
}

func (e *hinted) Unwrap() error { return e.error }
func (e *hinted) Hint() string  { return e.advice }

// refused is an error that matches snapshot.ErrRefused.
func refused(advice, format string, args ...any) error {
	return &hinted{fmt.Errorf("%w: "+format, append([]any{snapshot.ErrRefused}, args...)...), advice}
}

// tokenHash is all that memory holds of a token.
type tokenHash [sha256.Size]byte

func hashToken(token string) tokenHash { return sha256.Sum256([]byte(token)) }

// equal takes the same time whatever differs.
func (t tokenHash) equal(other tokenHash) bool {
	return subtle.ConstantTimeCompare(t[:], other[:]) == 1
}

// tokenFile follows the file: a token that was changed there holds from the next
// request on.
type tokenFile struct {
	path    string
	created bool // made by this process

	mu   sync.Mutex // guards what follows
	hash tokenHash
	info fs.FileInfo // of the file that hash was read from; nil: read again
	read time.Time   // when
	bad  string      // the last error, to log it once
}

// openToken reads the token, or makes one where no file is.
func openToken(path string) (*tokenFile, error) {
	t := &tokenFile{path: path}
	token, info, err := readToken(path)
	if errors.Is(err, fs.ErrNotExist) {
		t.created, err = makeToken(path)
		if err == nil {
			token, info, err = readToken(path)
		}
	}
	if err != nil {
		return nil, fmt.Errorf("token file: %w", err)
	}
	t.hash, t.info, t.read = hashToken(token), info, time.Now()
	return t, nil
}

// makeToken makes the file; one that appears meanwhile is left as it is.
func makeToken(path string) (created bool, err error) {
	random := make([]byte, tokenBits/8)
	rand.Read(random) // never fails: crypto/rand
	f, err := durable.Create(path, 0o600)
	if err != nil {
		return false, err
	}
	defer func() { err = errors.Join(err, f.Discard()) }()
	if _, err := io.WriteString(f, base64.RawURLEncoding.EncodeToString(random)+"\n"); err != nil {
		return false, fmt.Errorf("write %s: %w", path, err)
	}
	err = f.CommitNew()
	if errors.Is(err, fs.ErrExist) {
		return false, nil
	}
	return err == nil, err
}

// variety is how many different characters a random token has at least: of 43 out of
// 64 there are some 31, and fewer than 16 in less than one of 2^40.
const variety = 16

// unguessable reports whether the token is, or might well be, one of makeToken's: to hold
// its holder back, for the sake of those who guess, would protect nothing.
func unguessable(token string) bool {
	raw, err := base64.RawURLEncoding.Strict().DecodeString(token)
	if err != nil || len(raw) != tokenBits/8 {
		return false
	}
	different := make(map[rune]bool)
	for _, r := range token {
		different[r] = true
	}
	return len(different) >= variety
}

// readToken reads a file that only its owner can: never through a link, and no
// more than a token.
func readToken(path string) (token string, info fs.FileInfo, err error) {
	raw, info, err := readPrivate(path, maxToken+2)
	if err != nil {
		return "", nil, err
	}
	token = strings.TrimSuffix(strings.TrimSuffix(string(raw), "\n"), "\r")
	const advice = "it holds one line, the token, of at least 16 characters; delete it to have a new one made"
	switch {
	case token == "":
		return "", nil, refused(advice, "%s is empty", path)
	case len(token) < minToken:
		return "", nil, refused(advice, "the token in %s has %d characters, at least %d are needed", path, len(token), minToken)
	case len(token) > maxToken || strings.ContainsFunc(token, func(r rune) bool { return r <= ' ' || r > '~' }):
		return "", nil, refused(advice, "%s does not hold a token: one line of printable ASCII without spaces", path)
	}
	return token, info, nil
}

// readPrivate reads a small file that nobody but its owner may read or write.
func readPrivate(path string, limit int64) (raw []byte, info fs.FileInfo, err error) {
	named, err := os.Lstat(path)
	if err != nil {
		return nil, nil, err
	}
	if !named.Mode().IsRegular() {
		return nil, nil, refused("put a plain file there, or name another with --token-file", "%s is a link or not a plain file", path)
	}
	f, err := os.OpenFile(path, os.O_RDONLY|openPlain, 0)
	if err != nil {
		return nil, nil, err
	}
	defer func() { _ = f.Close() }() // was only read
	info, err = f.Stat()
	if err != nil {
		return nil, nil, err
	}
	if !info.Mode().IsRegular() || !os.SameFile(named, info) {
		return nil, nil, refused("", "%s was exchanged while it was opened", path)
	}
	if runtime.GOOS != "windows" && info.Mode().Perm()&0o077 != 0 {
		return nil, nil, refused("chmod 600 "+path+"; where the file system keeps no such rights, name a file elsewhere with --token-file", "%s can be read or written by others than its owner (mode %04o)", path, info.Mode().Perm())
	}
	raw, err = io.ReadAll(io.LimitReader(f, limit+1))
	if err != nil {
		return nil, nil, fmt.Errorf("read %s: %w", path, err)
	}
	if int64(len(raw)) > limit {
		return nil, nil, refused("", "%s has more than %d bytes", path, limit)
	}
	return raw, info, nil
}

// racy is how long after a file's last change another one may leave its times the
// same: no file system here has coarser ones.
const racy = 2 * time.Second

// unchanged reports whether the file is still the one that was read.
func (t *tokenFile) unchanged(info fs.FileInfo) bool {
	return t.info != nil && os.SameFile(t.info, info) && t.info.Mode() == info.Mode() && t.info.Size() == info.Size() &&
		t.info.ModTime().Equal(info.ModTime()) && t.read.Sub(info.ModTime()) > racy
}

// refresh returns the hash of the token as the file has it now, and whether it is
// another than the last time. While the file cannot be used nobody is let in.
func (t *tokenFile) refresh() (hash tokenHash, changed bool, err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	info, err := os.Lstat(t.path)
	if err == nil && t.unchanged(info) {
		return t.hash, false, nil
	}
	now := time.Now()
	token, info, err := readToken(t.path)
	if err != nil {
		t.info = nil
		return tokenHash{}, false, err
	}
	hash = hashToken(token)
	changed = hash != t.hash
	t.hash, t.info, t.read, t.bad = hash, info, now, ""
	return hash, changed, nil
}

// complaint is err when it was not told before, else "".
func (t *tokenFile) complaint(err error) string {
	t.mu.Lock()
	defer t.mu.Unlock()
	if text := oneLine(err.Error()); text != t.bad {
		t.bad = text
		return text
	}
	return ""
}
