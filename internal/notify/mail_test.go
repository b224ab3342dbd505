package notify

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"fmt"
	"io"
	"mime"
	"mime/quotedprintable"
	"net"
	"net/http/httptest"
	"net/mail"
	"strings"
	"testing"
)

// postOffice is a mail server on loopback.
type postOffice struct {
	smtps    bool   // TLS from the beginning
	starttls bool   // it offers that
	auth     bool   // and logins
	refuse   string // the command that it refuses
	chatter  bool   // its greeting has no end

	login, from string
	to          []string
	data        string
	encrypted   bool
}

// run serves one connection, and returns the address and the roots that it is known by.
func (p *postOffice) run(t *testing.T) (address string, roots *tls.Config) {
	web := httptest.NewTLSServer(nil) // for its certificate, which is of 127.0.0.1 too
	t.Cleanup(web.Close)
	pool := x509.NewCertPool()
	pool.AddCert(web.Certificate())
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		conn, err := l.Accept()
		if err != nil {
			return
		}
		defer conn.Close()
		if p.smtps {
			conn, p.encrypted = tls.Server(conn, web.TLS), true
		}
		p.serve(conn, web.TLS)
	}()
	t.Cleanup(func() { _ = l.Close(); <-done })
	return l.Addr().String(), &tls.Config{RootCAs: pool}
}

func (p *postOffice) serve(conn net.Conn, secure *tls.Config) {
	say := func(format string, args ...any) { fmt.Fprintf(conn, format+"\r\n", args...) }
	for p.chatter {
		if _, err := io.WriteString(conn, "220-still here\r\n"); err != nil {
			return
		}
	}
	say("220 post office")
	in := bufio.NewReader(conn)
	for {
		line, err := in.ReadString('\n')
		if err != nil {
			return
		}
		verb, rest, _ := strings.Cut(strings.TrimSpace(line), " ")
		if verb == p.refuse {
			say("535 no: %s", rest) // it repeats what it got
			continue
		}
		switch verb {
		case "EHLO":
			say("250-post office")
			if p.starttls && !p.encrypted {
				say("250-STARTTLS")
			}
			if p.auth {
				say("250-AUTH PLAIN")
			}
			say("250 8BITMIME")
		case "STARTTLS":
			say("220 go on")
			conn = tls.Server(conn, secure)
			in, p.encrypted = bufio.NewReader(conn), true
		case "AUTH":
			raw, _ := base64.StdEncoding.DecodeString(strings.TrimPrefix(rest, "PLAIN "))
			p.login = strings.ReplaceAll(string(raw), "\x00", "|")
			say("235 welcome")
		case "MAIL":
			p.from = rest
			say("250 ok")
		case "RCPT":
			p.to = append(p.to, rest)
			say("250 ok")
		case "DATA":
			say("354 go on")
			for {
				line, err := in.ReadString('\n')
				if err != nil || line == ".\r\n" {
					break
				}
				p.data += line
			}
			say("250 accepted")
		case "QUIT":
			say("221 bye")
			return
		default:
			say("250 ok")
		}
	}
}

// If this fails, a mail does not arrive, is not what it should be, or takes its password over the wire for all to read.
func TestMail(t *testing.T) {
	t.Parallel()
	for name, p := range map[string]*postOffice{
		"smtps":    {smtps: true, auth: true},
		"starttls": {starttls: true, auth: true},
		"loopback": {auth: true},
	} {
		address, roots := p.run(t)
		scheme := map[bool]string{true: "smtps", false: "smtp"}[p.smtps]
		all, err := Named([]Receiver{{Mail: scheme + "://ops%40example.com@" + address, Password: "s3cret", To: []string{"a@example.com", "b@example.com"}, Label: "Büro"}})
		if err != nil {
			t.Fatal(err)
		}
		r := all[0]
		if err := sendMail(t.Context(), r, sample.to(r), roots); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if p.login != "|ops@example.com|s3cret" || !strings.HasPrefix(p.from, "FROM:<ops@example.com>") || len(p.to) != 2 || p.encrypted != (name != "loopback") {
			t.Errorf("%s: %+v", name, p)
		}
		m, err := mail.ReadMessage(strings.NewReader(p.data))
		if err != nil {
			t.Fatalf("%s: %v in %q", name, err, p.data)
		}
		body, err := io.ReadAll(quotedprintable.NewReader(m.Body))
		subject, serr := new(mime.WordDecoder).DecodeHeader(m.Header.Get("Subject"))
		if err != nil || serr != nil || subject != "Büro: at risk" || !strings.Contains(string(body), "a scheduled backup did not come <now> & then.") || m.Header.Get("Message-ID") != "<src-7@example.com>" {
			t.Errorf("%s: %q %v %s", name, subject, m.Header, body)
		}
		if at, err := m.Header.Date(); err != nil || !at.Equal(noon) {
			t.Errorf("%s: %v %v", name, at, err)
		}
	}
}

// If this fails, a mail server that misbehaves is believed, or the password is in an error.
func TestMailServersThatMisbehave(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		p    *postOffice
		want string
	}{
		"refuses the login":  {&postOffice{smtps: true, auth: true, refuse: "AUTH"}, "does not accept the login (535)"},
		"refuses the sender": {&postOffice{smtps: true, auth: true, refuse: "MAIL"}, "535"},
		"refuses one of us":  {&postOffice{smtps: true, auth: true, refuse: "RCPT"}, "535"},
		"refuses the text":   {&postOffice{smtps: true, auth: true, refuse: "DATA"}, "535"},
		"talks without end":  {&postOffice{smtps: true, chatter: true}, "more than is read"},
	} {
		address, roots := c.p.run(t)
		r := Receiver{Mail: "smtps://ops@" + address, Password: "s3cret", From: "ops@example.com", To: []string{"a@example.com"}}
		if text := said(sendMail(t.Context(), r, sample.to(r), roots), r); !strings.Contains(text, c.want) || strings.Contains(text, "s3cret") {
			t.Errorf("%s: %q", name, text)
		}
	}
	p := &postOffice{smtps: true, auth: true}
	address, _ := p.run(t)
	r := Receiver{Mail: "smtps://ops@" + address, Password: "s3cret", From: "ops@example.com", To: []string{"a@example.com"}}
	if err := sendMail(t.Context(), r, sample, nil); err == nil || p.login != "" {
		t.Errorf("of an unknown authority: %v", err)
	}
}

// If this fails, a stranger on the way reads the password.
func TestNoPasswordWithoutTLS(t *testing.T) {
	t.Parallel()
	p := &postOffice{auth: true}
	here, there := net.Pipe()
	done := make(chan struct{})
	go func() { defer close(done); p.serve(there, nil) }()
	r := Receiver{Password: "s3cret", From: "a@example.com", To: []string{"b@example.com"}}
	if err := converse(here, "mail.example.com", "ops", r, sample, nil); err == nil || !strings.Contains(err.Error(), "no TLS") || p.login != "" {
		t.Errorf("%v, %q", err, p.login)
	}
	_ = there.Close()
	<-done
}

// A server that accepts and says nothing holds a mail up until its time is over.
func TestMailServerThatHangs(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() {
		ended <- sendMail(ctx, Receiver{Mail: "smtp://" + l.Addr().String(), From: "a@example.com", To: []string{"b@example.com"}}, sample, nil)
	}()
	conn, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	cancel() // as its time limit does
	if err := <-ended; err == nil {
		t.Error("no error")
	}
}
