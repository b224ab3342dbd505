package notify

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"mime"
	"mime/quotedprintable"
	"net"
	"net/smtp"
	"net/textproto"
	"net/url"
	"strings"
	"time"

	"example.com/snapd/internal/message"
)

const (
	mailTimeout = 30 * time.Second
	maxReply    = 64 << 10 // bytes that are read of a mail server in all
)

var (
	errPlain   = errors.New("it offers no TLS, and the password is not sent without; use smtps://, or a server that has STARTTLS")
	errChatter = errors.New("the mail server says more than is read")
)

func sendMail(ctx context.Context, r Receiver, m Message, roots *tls.Config) error {
	u, err := url.Parse(r.Mail)
	if err != nil {
		return errors.New("the address of the mail server cannot be used")
	}
	ctx, cancel := context.WithTimeout(ctx, mailTimeout)
	defer cancel()
	host, port := u.Hostname(), u.Port()
	if port == "" {
		port = map[string]string{"smtps": "465", "smtp": "587"}[u.Scheme]
	}
	conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", net.JoinHostPort(host, port))
	if err != nil {
		return err
	}
	defer conn.Close() // what matters is said before
	defer context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) })()
	secure := &tls.Config{ServerName: host, MinVersion: tls.VersionTLS12}
	if roots != nil {
		secure.RootCAs = roots.RootCAs
	}
	var stream net.Conn = &bounded{Conn: conn, left: maxReply}
	if u.Scheme == "smtps" {
		stream = tls.Client(stream, secure)
	}
	err = converse(stream, host, u.User.Username(), r, m, secure)
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return err
}

// converse hands the message to the server at the other end.
func converse(stream net.Conn, host, user string, r Receiver, m Message, secure *tls.Config) error {
	c, err := smtp.NewClient(stream, host)
	if err != nil {
		return err
	}
	defer c.Close() // after Quit, or after an error that says more
	_, encrypted := stream.(*tls.Conn)
	if ok, _ := c.Extension("STARTTLS"); ok && !encrypted {
		if err := c.StartTLS(secure); err != nil {
			return err
		}
		encrypted = true
	}
	if user != "" {
		if !encrypted && !loopback(host) {
			return errPlain
		}
		if err := c.Auth(smtp.PlainAuth("", user, string(r.Password), host)); err != nil {
			return loginFailed(err)
		}
	}
	if err := c.Mail(r.From); err != nil {
		return err
	}
	for _, to := range r.To {
		if err := c.Rcpt(to); err != nil {
			return err
		}
	}
	w, err := c.Data()
	if err != nil {
		return err
	}
	text, err := mailText(r, m)
	if err != nil {
		return err
	}
	if _, err := w.Write(text); err != nil {
		return err
	}
	if err := w.Close(); err != nil {
		return err
	}
	_ = c.Quit() // the message is accepted already
	return nil
}

// loginFailed leaves out what the server says of a login that failed: it may repeat it.
func loginFailed(err error) error {
	var reply *textproto.Error
	if errors.As(err, &reply) {
		return fmt.Errorf("the mail server does not accept the login (%d)", reply.Code)
	}
	return err
}

// loopback reports whether host is this machine, by its address or as net/smtp knows it.
func loopback(host string) bool { return host == "localhost" || host == "127.0.0.1" || host == "::1" }

// mailText is the message as RFC 5322 has it.
func mailText(r Receiver, m Message) ([]byte, error) {
	var b bytes.Buffer
	_, domain, _ := strings.Cut(r.From, "@")
	for _, h := range [][2]string{{"From", r.From}, {"To", strings.Join(r.To, ", ")}, {"Subject", mime.QEncoding.Encode("utf-8", message.OneLine(m.title()))},
		{"Date", m.At.Format(time.RFC1123Z)}, {"Message-ID", "<" + m.ID + "@" + domain + ">"}, {"Auto-Submitted", "auto-generated"},
		{"MIME-Version", "1.0"}, {"Content-Type", "text/plain; charset=utf-8"}, {"Content-Transfer-Encoding", "quoted-printable"}} {
		b.WriteString(h[0] + ": " + h[1] + "\r\n")
	}
	b.WriteString("\r\n")
	q := quotedprintable.NewWriter(&b)
	if _, err := q.Write([]byte(m.body() + "\r\n\r\n" + "since " + m.Since.UTC().Format(time.RFC3339) + "\r\n")); err != nil {
		return nil, err
	}
	if err := q.Close(); err != nil {
		return nil, err
	}
	return b.Bytes(), nil
}

// bounded is a connection that ends after so many bytes.
type bounded struct {
	net.Conn
	left int
}

func (b *bounded) Read(p []byte) (int, error) {
	if b.left <= 0 {
		return 0, errChatter
	}
	n, err := b.Conn.Read(p[:min(len(p), b.left)])
	b.left -= n
	return n, err
}
