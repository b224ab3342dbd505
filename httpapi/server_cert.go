package httpapi

import (
	"crypto/tls"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"sync"
	"time"

	"example.com/snapd/internal/message"
)

// certEvery is how often the files are looked at.
const certEvery = 10 * time.Second

// certificate follows its files, so that renewal needs no restart. While the new
// ones do not fit together the old pair is kept.
type certificate struct {
	certFile, keyFile string

	mu       sync.Mutex // guards what follows
	pair     *tls.Certificate
	at       [2]fs.FileInfo // of the files that pair was read from
	looked   time.Time
	interval time.Duration // tests; 0: certEvery
}

// current is for tls.Config.GetCertificate.
func (c *certificate) current(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	every := c.interval
	if every == 0 {
		every = certEvery
	}
	if now := time.Now(); c.pair == nil || now.Sub(c.looked) >= every {
		c.looked = now
		if err := c.load(); err != nil && c.pair == nil {
			return nil, err
		}
	}
	return c.pair, nil
}

func (c *certificate) load() error {
	var at [2]fs.FileInfo
	same := c.pair != nil
	for i, path := range []string{c.certFile, c.keyFile} {
		info, err := os.Stat(path)
		if err != nil {
			return fmt.Errorf("TLS certificate: %w", err)
		}
		at[i] = info
		same = same && c.at[i].ModTime().Equal(info.ModTime()) && c.at[i].Size() == info.Size() && os.SameFile(c.at[i], info)
	}
	if same {
		return nil
	}
	pair, err := tls.LoadX509KeyPair(c.certFile, c.keyFile)
	if err != nil {
		return message.WithHint(fmt.Errorf("TLS certificate: %w", err), "both files are PEM; the certificate's comes with its chain, and the key belongs to it")
	}
	if len(pair.Certificate) == 0 {
		return errors.New("TLS certificate: the file holds none")
	}
	c.pair, c.at = &pair, at
	return nil
}
