package sftp_test

import (
	"crypto/ed25519"
	"crypto/rand"
	"encoding/pem"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/knownhosts"

	"example.com/snapd/internal/testdb"
)

// A server takes one key, and runs OpenSSH's sftp-server for those who have it.
type server struct {
	t          testing.TB
	listener   net.Listener
	dir        string
	key, known string // files: the client's key, and the server's for the client
	host       ed25519.PrivateKey

	mu    sync.Mutex
	conns []net.Conn
	left  int64 // bytes until the connections break; 0 for never

	said    lines // what the program did
	running sync.WaitGroup
}

// lines are what programs write, of several at once.
type lines struct {
	mu   sync.Mutex
	text strings.Builder
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

func sftpServer(t testing.TB) string {
	t.Helper()
	if path := os.Getenv("SNAPD_SFTP_SERVER"); path != "" {
		if _, err := os.Stat(path); err == nil {
			return path
		}
	} else {
		for _, path := range []string{"/usr/lib/openssh/sftp-server", "/usr/libexec/openssh/sftp-server", "/usr/lib/ssh/sftp-server", "/usr/libexec/sftp-server"} {
			if _, err := os.Stat(path); err == nil {
				return path
			}
		}
	}
	testdb.Missing(t, "sftp-server", "apt-get install openssh-sftp-server")
	return ""
}

func newKey(t testing.TB) ed25519.PrivateKey {
	t.Helper()
	_, key, err := ed25519.GenerateKey(rand.Reader)
	must(t, err)
	return key
}

func privatePEM(t testing.TB, key ed25519.PrivateKey) string {
	t.Helper()
	block, err := ssh.MarshalPrivateKey(key, "")
	must(t, err)
	return string(pem.EncodeToMemory(block))
}

func startServer(t testing.TB) *server {
	t.Helper()
	program := sftpServer(t)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	s := &server{t: t, listener: listener, dir: t.TempDir(), host: newKey(t)}
	client := newKey(t)
	s.key, s.known = s.file(t, "id", privatePEM(t, client)), s.file(t, "known_hosts", s.knownLine(s.host))
	allowed, err := ssh.NewPublicKey(client.Public())
	must(t, err)
	config := &ssh.ServerConfig{PublicKeyCallback: func(_ ssh.ConnMetadata, key ssh.PublicKey) (*ssh.Permissions, error) {
		if string(key.Marshal()) != string(allowed.Marshal()) {
			return nil, fmt.Errorf("no such key")
		}
		return nil, nil
	}}
	signer, err := ssh.NewSignerFromKey(s.host)
	must(t, err)
	config.AddHostKey(signer)
	s.running.Go(func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			s.mu.Lock()
			s.conns = append(s.conns, conn)
			s.mu.Unlock()
			s.running.Go(func() { serve(&counted{conn, s}, config, program, &s.said) })
		}
	})
	t.Cleanup(func() { s.stop(); s.running.Wait() })
	return s
}

// serve runs the program for each session that asks for it.
func serve(conn net.Conn, config *ssh.ServerConfig, program string, said io.Writer) {
	defer conn.Close()
	_, channels, requests, err := ssh.NewServerConn(conn, config)
	if err != nil {
		return
	}
	go ssh.DiscardRequests(requests)
	var sessions sync.WaitGroup
	for open := range channels {
		channel, requests, err := open.Accept()
		if err != nil {
			break
		}
		sessions.Go(func() {
			defer channel.Close()
			for request := range requests {
				if request.Type != "subsystem" {
					request.Reply(false, nil)
					continue
				}
				request.Reply(true, nil)
				cmd := exec.Command(program, "-e", "-l", "VERBOSE")
				cmd.Stderr = said
				in, err := cmd.StdinPipe()
				if err != nil {
					return
				}
				cmd.Stdout = channel
				if cmd.Start() == nil {
					io.Copy(in, channel)
					in.Close()
					cmd.Wait()
				}
				return
			}
		})
	}
	sessions.Wait()
}

// file writes a file of the test's, and returns its path.
func (s *server) file(t testing.TB, name, text string) string {
	t.Helper()
	path := filepath.Join(s.dir, name)
	must(t, os.WriteFile(path, []byte(text), 0o600))
	return path
}

func (s *server) knownLine(key ed25519.PrivateKey) string {
	public, err := ssh.NewPublicKey(key.Public())
	must(s.t, err)
	return knownhosts.Line([]string{s.listener.Addr().String()}, public) + "\n"
}

func (s *server) url(dir string) string {
	return fmt.Sprintf("sftp://me@%s%s?key_file=%s&known_hosts=%s", s.listener.Addr(), dir, s.key, s.known)
}

// breakAll breaks all connections.
func (s *server) breakAll() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, conn := range s.conns {
		conn.(*net.TCPConn).SetLinger(0)
		conn.Close()
	}
	s.conns, s.left = nil, 0
}

// breakAfter breaks all connections once they have received so many bytes.
func (s *server) breakAfter(n int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.left = n
}

func (s *server) stop() {
	s.listener.Close()
	s.breakAll()
}

type counted struct {
	net.Conn
	s *server
}

func (c *counted) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	c.s.mu.Lock()
	due := c.s.left > 0 && c.s.left <= int64(n)
	c.s.left = max(0, c.s.left-int64(n))
	c.s.mu.Unlock()
	if due {
		c.s.breakAll()
	}
	return n, err
}
