package auth

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
	"strings"
	"sync"
	"time"

	"example.com/snapd/internal/durable"
	"example.com/snapd/internal/message"
)

// Bounds of a token, in bytes. One made here has 256 random bits.
const (
	minToken  = 16
	maxToken  = 1024
	tokenBits = 256
)

// tokenHash is what memory holds of a token.
type tokenHash [sha256.Size]byte

func hashToken(token string) tokenHash { return sha256.Sum256([]byte(token)) }

// equal takes the same time wherever the hashes differ.
func (t tokenHash) equal(other tokenHash) bool {
	return subtle.ConstantTimeCompare(t[:], other[:]) == 1
}

// tokenFile follows the file: a changed token is good from the next request on.
type tokenFile struct {
	path    string
	mounted bool // not in the backup directory: it may be there as containers get it
	created bool // made by this process

	mu   sync.Mutex // guards what follows
	hash tokenHash
	info fs.FileInfo // of the file that hash was read from; nil: read again
	read time.Time   // when
	bad  string      // the last error, which is logged once
}

// openToken reads the token. It makes the file when that is absent.
func openToken(path string, mounted bool) (*tokenFile, error) {
	t := &tokenFile{path: path, mounted: mounted}
	token, info, err := t.token()
	if errors.Is(err, fs.ErrNotExist) {
		t.created, err = makeToken(path)
		if err == nil {
			token, info, err = t.token()
		}
	}
	if err != nil {
		return nil, fmt.Errorf("token file: %w", err)
	}
	t.hash, t.info, t.read = hashToken(token), info, time.Now()
	return t, nil
}

// makeToken makes the file. A file that appears concurrently is left as it is.
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

// variety is the least number of different characters of a random token: 43 characters out
// of 64 have some 31 different ones, and fewer than 16 in less than one case of 2^40.
const variety = 16

// unguessable reports whether the token looks like one of makeToken's. Throttling its holder
// because others guess would protect nothing.
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

// token reads the token from its file.
func (t *tokenFile) token() (token string, info fs.FileInfo, err error) {
	read, path := readPrivate, t.path
	if t.mounted {
		read = readSecret
	}
	raw, info, err := read(path, maxToken+2, "name another with --token-file")
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

// racy is how long after a change of a file a second change may leave its times the same. No
// supported file system has coarser times.
const racy = 2 * time.Second

// unchanged reports whether the file is still the one that was read.
func (t *tokenFile) unchanged(info fs.FileInfo) bool {
	return t.info != nil && os.SameFile(t.info, info) && t.info.Mode() == info.Mode() && t.info.Size() == info.Size() &&
		t.info.ModTime().Equal(info.ModTime()) && t.read.Sub(info.ModTime()) > racy
}

// refresh returns the hash of the token in the file, and whether it differs from the last
// one. While the file cannot be used, it returns an error.
func (t *tokenFile) refresh() (hash tokenHash, changed bool, err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	look := os.Lstat
	if t.mounted {
		look = os.Stat
	}
	info, err := look(t.path)
	if err == nil && t.unchanged(info) {
		return t.hash, false, nil
	}
	now := time.Now()
	token, info, err := t.token()
	if err != nil {
		t.info = nil
		return tokenHash{}, false, err
	}
	hash = hashToken(token)
	changed = hash != t.hash
	t.hash, t.info, t.read, t.bad = hash, info, now, ""
	return hash, changed, nil
}

// complaint returns err's text when it differs from the last complaint, and "" otherwise.
func (t *tokenFile) complaint(err error) string {
	t.mu.Lock()
	defer t.mu.Unlock()
	if text := message.OneLine(err.Error()); text != t.bad {
		t.bad = text
		return text
	}
	return ""
}
