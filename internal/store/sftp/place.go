package sftp

import (
	"errors"
	"fmt"
	"net"
	"net/url"
	"path"
	"strings"
)

// A Place is a directory on a server.
type Place struct {
	User       string
	Host       string // and port, if it is not 22
	Path       string // absolute, or relative to where the server puts one who logs in
	KeyFile    string // a private key; "" for the agent's and those in ~/.ssh
	KnownHosts string // "" for ~/.ssh/known_hosts
}

// Parse reads a URL such as sftp://user@host/path?key_file=/etc/snapd/id_ed25519. A path that begins with /~/ is below the directory
// of the login. Its parameters are
//
//	key_file      the private key to log in with, without a passphrase; else the agent's, and those in ~/.ssh
//	known_hosts   the file with the server's key; else ~/.ssh/known_hosts
//
// No error shows the URL: it may hold a password, which is refused.
func Parse(raw string) (Place, error) {
	u, err := url.Parse(raw)
	if err != nil || u.Scheme != "sftp" || u.Opaque != "" || u.Hostname() == "" || u.Fragment != "" {
		return Place{}, errors.New("the URL of a server with SFTP has the form sftp://user@host/path")
	}
	if _, password := u.User.Password(); password {
		return Place{}, errors.New("the URL of a server with SFTP holds a password: take it out, and log in with a key (key_file=, or an agent)")
	}
	if u.User.Username() == "" {
		return Place{}, errors.New("the URL of a server with SFTP has no user: sftp://user@host/path")
	}
	p := Place{User: u.User.Username(), Host: u.Host, Path: path.Clean(u.Path)}
	if p.Path == "." || p.Path == "/" {
		return Place{}, errors.New("the URL of a server with SFTP names no directory: sftp://user@host/path")
	}
	q, err := url.ParseQuery(u.RawQuery)
	if err != nil {
		return Place{}, errors.New("the parameters in the URL of a server with SFTP cannot be read")
	}
	for key, values := range q {
		switch key {
		case "key_file":
			p.KeyFile = values[0]
		case "known_hosts":
			p.KnownHosts = values[0]
		default:
			return Place{}, fmt.Errorf("%.40q in the URL of a server with SFTP: there is no such parameter", key)
		}
	}
	return p, nil
}

// String is the URL again.
func (p Place) String() string {
	q := url.Values{}
	for key, value := range map[string]string{"key_file": p.KeyFile, "known_hosts": p.KnownHosts} {
		if value != "" {
			q.Set(key, value)
		}
	}
	return (&url.URL{Scheme: "sftp", User: url.User(p.User), Host: p.Host, Path: p.Path, RawQuery: strings.ReplaceAll(q.Encode(), "%2F", "/")}).String()
}

// address is what to dial.
func (p Place) address() string {
	if _, _, err := net.SplitHostPort(p.Host); err == nil {
		return p.Host
	}
	return net.JoinHostPort(strings.Trim(p.Host, "[]"), "22")
}

// dir is the directory as the server takes it.
func (p Place) dir() string {
	if below, ok := strings.CutPrefix(p.Path, "/~/"); ok {
		return below
	}
	return p.Path
}
