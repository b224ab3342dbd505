package sftp

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"time"

	"github.com/pkg/sftp"
	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/agent"
	"golang.org/x/crypto/ssh/knownhosts"

	"example.com/snapd/internal/store"
)

// dialTimeout bounds a connection until the server's first word, handshakeTimeout the rest until files can be asked for.
const (
	dialTimeout      = 10 * time.Second
	handshakeTimeout = 30 * time.Second
)

// A session is one connection to the server.
type session struct {
	*sftp.Client
	ended chan struct{} // closed when the connection is over
	close func() error
}

// over reports whether the connection has ended, as an idle one does after a while.
func (s *session) over() bool {
	select {
	case <-s.ended:
		return true
	default:
		return false
	}
}

// A dialer makes sessions.
type dialer func(ctx context.Context) (*session, error)

// dial logs in over SSH.
func (p Place) dial(env func(string) string, limit *store.Limiter) dialer {
	return func(ctx context.Context) (_ *session, err error) {
		auth, done, err := p.auth(env)
		if err != nil {
			return nil, err
		}
		defer done()
		known, trusted := false, p.KnownHosts
		if trusted == "" {
			trusted = filepath.Join(env("HOME"), ".ssh", "known_hosts")
		}
		check, algorithms, err := hostKeys(trusted, p.address())
		if err != nil {
			return nil, err
		}
		config := &ssh.ClientConfig{User: p.User, Auth: auth, HostKeyAlgorithms: algorithms, HostKeyCallback: func(host string, remote net.Addr, key ssh.PublicKey) error {
			err := check(host, remote, key)
			known = err == nil
			return err
		}}
		ctx, cancel := context.WithTimeout(ctx, handshakeTimeout)
		defer cancel()
		raw, err := (&net.Dialer{Timeout: dialTimeout}).DialContext(ctx, "tcp", p.address())
		if err != nil {
			return nil, err
		}
		stop := context.AfterFunc(ctx, func() { raw.Close() })
		defer stop()
		conn, channels, requests, err := ssh.NewClientConn(limit.Conn(store.Watched(raw, store.Silence)), p.address(), config)
		if err != nil {
			raw.Close()
			var network net.Error
			if known && ctx.Err() == nil && !errors.As(err, &network) && !broken(err) {
				err = fmt.Errorf("%w: %w", store.ErrDenied, err)
			}
			return nil, err
		}
		client := ssh.NewClient(conn, channels, requests)
		files, err := sftp.NewClient(client, sftp.UseConcurrentWrites(true))
		if err != nil {
			return nil, errors.Join(err, client.Close())
		}
		ended := make(chan struct{})
		go func() {
			client.Wait() // its error is that of the next request
			close(ended)
		}()
		return &session{files, ended, client.Close}, nil
	}
}

// hostKeys returns what checks the server's key, and the algorithms of the keys that are known: a server has several, and must not
// present one that is not.
func hostKeys(file, address string) (ssh.HostKeyCallback, []string, error) {
	advice := fmt.Sprintf("put the server's key into it, compared with what the server's owner says: ssh-keyscan -H HOST >> %s", file)
	check, err := knownhosts.New(file)
	if err != nil {
		return nil, nil, fmt.Errorf("%w: the file with the known servers: %w: %s", store.ErrDenied, err, advice)
	}
	fresh, _, err := ed25519.GenerateKey(rand.Reader) // to ask which keys are known
	if err != nil {
		return nil, nil, err
	}
	unknown, err := ssh.NewPublicKey(fresh)
	if err != nil {
		return nil, nil, err
	}
	var algorithms []string
	var key *knownhosts.KeyError
	if errors.As(check(address, &net.TCPAddr{}, unknown), &key) {
		for _, want := range key.Want {
			if want.Key.Type() == ssh.KeyAlgoRSA {
				algorithms = append(algorithms, ssh.KeyAlgoRSASHA512, ssh.KeyAlgoRSASHA256)
			} else {
				algorithms = append(algorithms, want.Key.Type())
			}
		}
	}
	return func(host string, remote net.Addr, presented ssh.PublicKey) error {
		err := check(host, remote, presented)
		switch {
		case err == nil:
			return nil
		case errors.As(err, &key) && len(key.Want) == 0:
			return fmt.Errorf("%w: %s does not know the server's key %s: %s", store.ErrDenied, file, ssh.FingerprintSHA256(presented), advice)
		}
		return fmt.Errorf("%w: the server's key %s is not that in %s: it is another server, or it has a new key: %w", store.ErrDenied, ssh.FingerprintSHA256(presented), file, err)
	}, algorithms, nil
}

// auth returns the ways to log in: the key that is named, or else the agent's and the usual ones.
func (p Place) auth(env func(string) string) (methods []ssh.AuthMethod, done func(), err error) {
	done = func() {}
	if p.KeyFile != "" {
		key, err := readKey(p.KeyFile)
		if err != nil {
			return nil, done, fmt.Errorf("%w: key_file: %w", store.ErrDenied, err)
		}
		return []ssh.AuthMethod{ssh.PublicKeys(key)}, done, nil
	}
	var keys []ssh.Signer
	if socket := env("SSH_AUTH_SOCK"); socket != "" {
		if conn, err := net.Dial("unix", socket); err == nil {
			done = func() { conn.Close() }
			if found, err := agent.NewClient(conn).Signers(); err == nil {
				keys = append(keys, found...)
			}
		}
	}
	for _, name := range []string{"id_ed25519", "id_ecdsa", "id_rsa"} {
		key, errKey := readKey(filepath.Join(env("HOME"), ".ssh", name))
		if errKey == nil {
			keys = append(keys, key)
		} else if !errors.Is(errKey, fs.ErrNotExist) {
			err = errors.Join(err, errKey)
		}
	}
	if len(keys) == 0 {
		done()
		return nil, func() {}, fmt.Errorf("%w: no key to log in with: name one with key_file=, or start an agent: %w", store.ErrDenied, errors.Join(errors.New("none in ~/.ssh"), err))
	}
	return []ssh.AuthMethod{ssh.PublicKeys(keys...)}, done, nil
}

// maxKey bounds what is read of a file with a key.
const maxKey = 64 << 10

func readKey(file string) (ssh.Signer, error) {
	info, err := os.Stat(file)
	if err != nil {
		return nil, err
	}
	if info.Size() > maxKey {
		return nil, fmt.Errorf("%s is no key: it has %d bytes", file, info.Size())
	}
	pem, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	key, err := ssh.ParsePrivateKey(pem)
	var locked *ssh.PassphraseMissingError
	if errors.As(err, &locked) {
		return nil, fmt.Errorf("%s has a passphrase: add it to an agent (ssh-add), or use a key without one", file)
	}
	if err != nil {
		return nil, fmt.Errorf("%s cannot be read as a key", file)
	}
	return key, nil
}
