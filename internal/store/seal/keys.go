package seal

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"filippo.io/age"
)

// What keys can be wrong about, next to the file system.
var (
	// ErrRecipients: what was given as recipients is none, or cannot be used. Nothing may be stored then.
	ErrRecipients = errors.New("the recipients cannot be used")
	// ErrIdentityFile: what was given as an identity file is none.
	ErrIdentityFile = errors.New("this is not an age identity file")
)

const (
	// maxKeys bounds the recipients of an object, and with them its header.
	maxKeys = 16
	// maxKeyFile bounds a file of keys, which are of 2 KB at most.
	maxKeyFile = 256 << 10
)

// Recipients are the public keys that objects are sealed for. The zero value has none.
type Recipients struct {
	keys  []age.Recipient
	names []string
}

// ParseRecipients takes public keys, each as "age1…". All of them must be good, and usable together, and there must be one.
func ParseRecipients(keys []string) (Recipients, error) {
	var r Recipients
	for i, key := range keys {
		parsed, err := parseRecipient(strings.TrimSpace(key))
		if err != nil {
			return Recipients{}, fmt.Errorf("%w: recipient %d of %d %w", ErrRecipients, i+1, len(keys), err)
		}
		r.keys, r.names = append(r.keys, parsed), append(r.names, strings.TrimSpace(key))
	}
	if err := r.usable(); err != nil {
		return Recipients{}, err
	}
	return r, nil
}

// ReadRecipients takes the public keys in a file, one on a line; empty lines and those that begin with "#" do not count.
func ReadRecipients(path string) (Recipients, error) {
	var r Recipients
	err := eachLine(path, func(n int, line string) error {
		parsed, err := parseRecipient(line)
		if err != nil {
			return fmt.Errorf("%w: %s: line %d %w", ErrRecipients, path, n, err)
		}
		r.keys, r.names = append(r.keys, parsed), append(r.names, line)
		return nil
	})
	if errors.Is(err, ErrRecipients) {
		return Recipients{}, err
	}
	if err != nil {
		return Recipients{}, fmt.Errorf("%w: %w", ErrRecipients, err)
	}
	if err := r.usable(); err != nil {
		return Recipients{}, fmt.Errorf("%s: %w", path, err)
	}
	return r, nil
}

// usable proves that something can be encrypted for the recipients.
func (r Recipients) usable() error {
	if len(r.keys) == 0 {
		return fmt.Errorf("%w: there is none", ErrRecipients)
	}
	if len(r.keys) > maxKeys {
		return fmt.Errorf("%w: there are %d, at most %d can be used", ErrRecipients, len(r.keys), maxKeys)
	}
	w, err := age.Encrypt(io.Discard, r.keys...)
	if err == nil {
		err = w.Close()
	}
	if err != nil { // keys that exclude each other
		return fmt.Errorf("%w: %w", ErrRecipients, err)
	}
	return nil
}

// Strings lists the public keys.
func (r Recipients) Strings() []string { return append([]string(nil), r.names...) }

// brief lists keys for a message. Those of hybrid recipients have 2,000 characters.
func brief(keys []string) string {
	const shown = 64
	var list []string
	for _, key := range keys {
		if len(key) > shown {
			key = key[:shown-12] + "…" + key[len(key)-8:]
		}
		list = append(list, key)
	}
	return strings.Join(list, ", ")
}

// parseRecipient names nothing of what it was given in its error: it may be a secret key, in the wrong place.
func parseRecipient(s string) (age.Recipient, error) {
	var parsed age.Recipient
	err := errors.New("is not a key of age, which begins with age1")
	switch {
	case strings.HasPrefix(strings.ToUpper(s), "AGE-SECRET-KEY-"):
		return nil, errors.New("is a secret key: recipients are public keys, which begin with age1; keep the secret key elsewhere")
	case strings.HasPrefix(s, "ssh-"):
		return nil, errors.New("is a key of SSH, which is not taken: snapd keygen makes a key of age")
	case strings.HasPrefix(s, "age1pq1"):
		parsed, err = age.ParseHybridRecipient(s)
	case strings.HasPrefix(s, "age1"):
		parsed, err = age.ParseX25519Recipient(s)
	}
	if err != nil && strings.HasPrefix(s, "age1") {
		err = errors.New("is not whole: a character is wrong or missing, or it is of a plugin of age")
	}
	return parsed, err
}

// Identities are the secret keys that sealed objects are read with. The zero value has none. They are not printable.
type Identities struct {
	keys    []age.Identity
	publics []string
}

// ReadIdentities takes the secret keys in a file, one on a line, as age-keygen and snapd keygen write them.
func ReadIdentities(path string) (Identities, error) {
	var ids Identities
	err := eachLine(path, func(n int, line string) error {
		key, public, err := parseIdentity(line)
		switch {
		case err == nil:
			ids.keys, ids.publics = append(ids.keys, key), append(ids.publics, public)
			return nil
		case n == 1 && (strings.HasPrefix(line, "age-encryption.org/") || strings.HasPrefix(line, "-----BEGIN AGE ENCRYPTED FILE")):
			return fmt.Errorf("%w: %s is protected by a passphrase: give --identity what age -d %s prints, by a file that is removed afterwards", ErrIdentityFile, path, path)
		}
		return fmt.Errorf("%w: %s: line %d %w", ErrIdentityFile, path, n, err)
	})
	switch {
	case err != nil && !errors.Is(err, ErrIdentityFile):
		return Identities{}, fmt.Errorf("read the identity: %w", err)
	case err != nil:
		return Identities{}, err
	case len(ids.keys) == 0:
		return Identities{}, fmt.Errorf("%w: %s has no key", ErrIdentityFile, path)
	}
	return ids, nil
}

// Strings lists the public keys of the identities.
func (ids Identities) Strings() []string { return append([]string(nil), ids.publics...) }

// String keeps the secret keys out of what is printed.
func (ids Identities) String() string { return fmt.Sprintf("%d identities", len(ids.keys)) }

// GoString is String.
func (ids Identities) GoString() string { return ids.String() }

// parseIdentity names nothing of what it was given in its error.
func parseIdentity(s string) (key age.Identity, public string, err error) {
	switch {
	case strings.HasPrefix(s, "AGE-SECRET-KEY-PQ-1"):
		if id, err := age.ParseHybridIdentity(s); err == nil {
			return id, id.Recipient().String(), nil
		}
	case strings.HasPrefix(s, "AGE-SECRET-KEY-1"):
		if id, err := age.ParseX25519Identity(s); err == nil {
			return id, id.Recipient().String(), nil
		}
	case strings.HasPrefix(s, "age1"):
		return nil, "", errors.New("is a public key: reading needs the secret key, which begins with AGE-SECRET-KEY-")
	default:
		return nil, "", errors.New("is not a secret key of age, which begins with AGE-SECRET-KEY-")
	}
	return nil, "", errors.New("is not whole: a character of the secret key is wrong or missing")
}

// eachLine calls fn with the lines of a file that are neither empty nor begin with "#".
func eachLine(path string, fn func(n int, line string) error) error {
	f, err := os.Open(path) // a link or a pipe will do: mounted secrets are links
	if err != nil {
		return err
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, maxKeyFile+1))
	if err != nil {
		return err
	}
	if len(b) > maxKeyFile {
		return fmt.Errorf("%s is longer than %d KiB: it is no file of keys", path, maxKeyFile>>10)
	}
	n := 0
	for line := range bytes.Lines(b) {
		n++
		text := strings.TrimSpace(string(line))
		if text == "" || strings.HasPrefix(text, "#") {
			continue
		}
		if err := fn(n, text); err != nil {
			return err
		}
	}
	return nil
}

// A Key is a new pair of keys.
type Key struct {
	Identity  string // secret: "AGE-SECRET-KEY-…"
	Recipient string // public: "age1…"
}

// Generate makes a key: of X25519, which every version of age reads, or a hybrid one that also withstands quantum
// computers, which age reads from version 1.3.
func Generate(hybrid bool) (Key, error) {
	if hybrid {
		id, err := age.GenerateHybridIdentity()
		if err != nil {
			return Key{}, fmt.Errorf("make a key: %w", err)
		}
		return Key{id.String(), id.Recipient().String()}, nil
	}
	id, err := age.GenerateX25519Identity()
	if err != nil {
		return Key{}, fmt.Errorf("make a key: %w", err)
	}
	return Key{id.String(), id.Recipient().String()}, nil
}

// Prove encrypts for the recipients and decrypts with each of the identities. It returns the recipients that one of
// the identities reads for; it is ErrNoIdentity where an object for the recipients cannot be read at all.
func Prove(to Recipients, ids Identities) (readable []string, err error) {
	if err := to.usable(); err != nil {
		return nil, err
	}
	for i, key := range to.keys {
		if err := proveOne(key, ids); errors.Is(err, ErrNoIdentity) {
			continue
		} else if err != nil {
			return nil, err
		}
		readable = append(readable, to.names[i])
	}
	if len(readable) == 0 {
		return nil, fmt.Errorf("%w: it is the identity of %s, and copies are sealed for %s", ErrNoIdentity,
			brief(ids.publics), brief(to.names))
	}
	return readable, nil
}

func proveOne(to age.Recipient, ids Identities) error {
	const text = "can this be read?"
	var sealed bytes.Buffer
	w, err := age.Encrypt(&sealed, to)
	if err == nil {
		_, err = io.WriteString(w, text)
	}
	if err == nil {
		err = w.Close()
	}
	if err != nil {
		return fmt.Errorf("prove the key: %w", err)
	}
	r, err := age.Decrypt(&sealed, ids.keys...)
	if err != nil {
		return classify(err)
	}
	got, err := io.ReadAll(r)
	if err != nil || string(got) != text {
		return fmt.Errorf("prove the key: what was decrypted is not what was encrypted: %w", errors.Join(err, ErrDamaged))
	}
	return nil
}
