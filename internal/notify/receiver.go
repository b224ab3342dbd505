package notify

import (
	"cmp"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/mail"
	"net/url"
	"path/filepath"
	"slices"
	"strings"
	"unicode"
)

// Secret is a text that is never printed: not by fmt, not in a log, not as JSON.
type Secret string

const hidden = "(secret)"

func (s Secret) String() string               { return hidden }
func (s Secret) GoString() string             { return hidden }
func (s Secret) LogValue() slog.Value         { return slog.StringValue(hidden) }
func (s Secret) MarshalText() ([]byte, error) { return []byte(hidden), nil }

// Format says what the body of a webhook is.
type Format string

const (
	JSON    Format = "json" // a [Message]
	Slack   Format = "slack"
	Discord Format = "discord"
	Ntfy    Format = "ntfy"
	Gotify  Format = "gotify"
)

var formats = []Format{JSON, Slack, Discord, Ntfy, Gotify}

// Receiver is one that is notified. Exactly one of Ping, Webhook, Mail and Command is set.
type Receiver struct {
	// Name stands in status, log and metrics; default: the way, with a number where there are several.
	Name string
	// On are the kinds that it is notified of; none: all.
	On []Kind
	// Label is what messages call the database; default "snapd".
	Label string
	// Details has messages contain reasons in full, with paths and names of files.
	Details bool

	// Ping is the address of a check of healthchecks, or of what works like it.
	Ping Secret
	// Webhook is an address that each message is posted to, in Format (default json), signed with Key where there is one.
	Webhook Secret
	Format  Format
	Key     Secret
	// Mail is smtps://USER@HOST[:PORT], or smtp:// for STARTTLS. Messages go from From (default USER) to To.
	Mail     string
	Password Secret
	From     string
	To       []string
	// Command is a program with its arguments. It gets a [Message] as JSON on its standard input.
	Command []string
}

// The ways to a receiver.
const (
	wayPing    = "ping"
	wayWebhook = "webhook"
	wayMail    = "mail"
	wayCommand = "command"
)

func (r Receiver) label() string { return cmp.Or(r.Label, "snapd") }

// Wants reports whether the receiver is notified of that kind.
func (r Receiver) Wants(k Kind) bool { return len(r.On) == 0 || slices.Contains(r.On, k) }

// Way is how the receiver is reached; "" for none or several.
func (r Receiver) Way() string {
	var ways []string
	for _, w := range []struct {
		is  bool
		way string
	}{{r.Ping != "", wayPing}, {r.Webhook != "", wayWebhook}, {r.Mail != "", wayMail}, {len(r.Command) > 0, wayCommand}} {
		if w.is {
			ways = append(ways, w.way)
		}
	}
	if len(ways) != 1 {
		return ""
	}
	return ways[0]
}

// Target says where the receiver is without a secret: the path of an address is one.
func (r Receiver) Target() string {
	address := ""
	switch r.Way() {
	case wayCommand:
		return filepath.Base(r.Command[0])
	case wayPing:
		address = string(r.Ping)
	case wayWebhook:
		address = string(r.Webhook)
	case wayMail:
		address = r.Mail
	}
	u, err := url.Parse(address)
	if err != nil {
		return ""
	}
	return u.Scheme + "://" + u.Host
}

// Named validates receivers and returns them with their names and defaults.
func Named(given []Receiver) ([]Receiver, error) {
	all := slices.Clone(given)
	taken := map[string]bool{}
	for _, r := range all {
		taken[r.Name] = true
	}
	for i := range all {
		r := &all[i]
		way := r.Way()
		if way == "" {
			return nil, fmt.Errorf("receiver %d of notifications has no way, or several: want one of ping, webhook, smtp and command", i+1)
		}
		for n := 1; r.Name == ""; n++ {
			name := way
			if n > 1 {
				name = fmt.Sprintf("%s-%d", way, n)
			}
			if !taken[name] {
				taken[name], r.Name = true, name
			}
		}
		if err := r.validate(); err != nil {
			return nil, fmt.Errorf("receiver %s of notifications: %w", r.Name, err)
		}
		if slices.ContainsFunc(all[:i], func(o Receiver) bool { return o.Name == r.Name }) {
			return nil, fmt.Errorf("two receivers of notifications have the name %q", r.Name)
		}
	}
	return all, nil
}

// maxReceiverName bounds a name, in bytes.
const maxReceiverName = 64

func (r *Receiver) validate() error {
	if len(r.Name) > maxReceiverName || strings.ContainsFunc(r.Name, func(c rune) bool { return c <= ' ' || c == 0x7f }) {
		return fmt.Errorf("the name is longer than %d bytes, or has blanks", maxReceiverName)
	}
	if strings.ContainsFunc(r.Label, unicode.IsControl) || len(r.Label) > 4*maxReceiverName {
		return errors.New("the label is too long, or has more than one line")
	}
	for _, k := range r.On {
		if _, err := ParseKind(string(k)); err != nil {
			return fmt.Errorf("on: %w", err)
		}
	}
	if r.Format == "" && r.Webhook != "" {
		r.Format = JSON
	}
	if r.Format != "" && !slices.Contains(formats, r.Format) {
		return fmt.Errorf("format %q: want one of %s", r.Format, join(formats))
	}
	switch r.Way() {
	case wayPing:
		return webAddress(r.Ping)
	case wayWebhook:
		return webAddress(r.Webhook)
	case wayMail:
		return r.validateMail()
	}
	return nil
}

// webAddress refuses what is no address. The address is a secret, and so no part of the error.
func webAddress(s Secret) error {
	u, err := url.Parse(string(s))
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		return errors.New("that is no address: it begins with https://HOST/ or http://HOST/")
	}
	return nil
}

func (r *Receiver) validateMail() error {
	u, err := url.Parse(r.Mail)
	switch {
	case err != nil || u.Hostname() == "" || u.Scheme != "smtps" && u.Scheme != "smtp":
		return errors.New("smtp: want smtps://USER@HOST, or smtp://USER@HOST for STARTTLS")
	case u.Path != "" && u.Path != "/" || u.RawQuery != "":
		return errors.New("smtp: nothing follows the host and its port")
	}
	if _, has := u.User.Password(); has {
		return errors.New("smtp: a password has no place in an address; use password_file, or SNAPD_SMTP_PASSWORD in the environment")
	}
	if len(r.To) == 0 {
		return errors.New("smtp: to is empty: name at least one address")
	}
	if r.From == "" {
		if r.From = u.User.Username(); !strings.Contains(r.From, "@") {
			r.From = cmp.Or(r.From, "snapd") + "@" + u.Hostname()
			if net.ParseIP(u.Hostname()) != nil {
				r.From = cmp.Or(u.User.Username(), "snapd") + "@localhost"
			}
		}
	}
	for _, address := range append([]string{r.From}, r.To...) {
		if a, err := mail.ParseAddress(address); err != nil || a.Address != address {
			return fmt.Errorf("smtp: %q is no mail address such as ops@example.com", address)
		}
	}
	return nil
}

func join[T ~string](all []T) string {
	texts := make([]string, len(all))
	for i, s := range all {
		texts[i] = string(s)
	}
	return strings.Join(texts, ", ")
}
