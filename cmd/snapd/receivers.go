package main

import (
	"cmp"
	"fmt"
	"io"
	"os"
	"strings"

	"example.com/snapd/internal/notify"
	"example.com/snapd/snapshot"
)

// notifyTable is a [[notify]] of the configuration file: one receiver, or one for each of its ways.
type notifyTable struct {
	Name    string   `toml:"name"`
	Label   string   `toml:"label"`
	On      []string `toml:"on"`
	Details bool     `toml:"details"`

	Ping        string   `toml:"ping"`
	PingFile    string   `toml:"ping_file"`
	Webhook     string   `toml:"webhook"`
	WebhookFile string   `toml:"webhook_file"`
	Format      string   `toml:"format"`
	SecretFile  string   `toml:"secret_file"`
	SMTP        string   `toml:"smtp"`
	From        string   `toml:"from"`
	To          []string `toml:"to"`
	Password    string   `toml:"password_file"`
	Command     []string `toml:"command"`
}

// The password of the mail server, or the file that has it, where the table names none.
const (
	envPassword     = "SNAPD_SMTP_PASSWORD"
	envPasswordFile = "SNAPD_SMTP_PASSWORD_FILE"
)

// receivers are those of the configuration file.
func (a *app) receivers() ([]snapshot.Receiver, error) {
	if a.Config == "" {
		return nil, nil
	}
	all, err := readTables[notifyTable](string(a.Config), "notify")
	if err != nil {
		return nil, err
	}
	var receivers []snapshot.Receiver
	for i, t := range all {
		ways, err := t.receivers()
		if err != nil {
			return nil, &usageError{fmt.Sprintf("configuration %s: [[notify]] %d: %v", a.Config, i+1, err), "see docs/alerts.md"}
		}
		receivers = append(receivers, ways...)
	}
	if receivers, err = notify.Named(receivers); err != nil {
		return nil, &usageError{fmt.Sprintf("configuration %s: %v", a.Config, err), "see docs/alerts.md"}
	}
	return receivers, nil
}

// receivers are those of the table: one for each way, named after it where there are several.
func (t notifyTable) receivers() (all []snapshot.Receiver, err error) {
	common := snapshot.Receiver{Name: t.Name, Label: t.Label, Details: t.Details}
	for _, k := range t.On {
		common.On = append(common.On, snapshot.NotifyKind(k))
	}
	ping, err := secretOf("ping", t.Ping, t.PingFile)
	if err != nil {
		return nil, err
	}
	webhook, err := secretOf("webhook", t.Webhook, t.WebhookFile)
	if err != nil {
		return nil, err
	}
	if ping != "" {
		r := common
		r.Ping = ping
		all = append(all, r)
	}
	if webhook != "" {
		r := common
		r.Webhook, r.Format = webhook, snapshot.NotifyFormat(t.Format)
		if r.Key, err = secretOf("secret", "", t.SecretFile); err != nil {
			return nil, err
		}
		all = append(all, r)
	} else if t.Format != "" || t.SecretFile != "" {
		return nil, fmt.Errorf("format and secret_file belong to a webhook, and there is none")
	}
	if t.SMTP != "" {
		r := common
		r.Mail, r.From, r.To = t.SMTP, t.From, t.To
		if r.Password, err = secretOf("password", os.Getenv(envPassword), cmp.Or(t.Password, os.Getenv(envPasswordFile))); err != nil {
			return nil, err
		}
		all = append(all, r)
	} else if t.From != "" || len(t.To) > 0 || t.Password != "" {
		return nil, fmt.Errorf("from, to and password_file belong to smtp, and there is none")
	}
	if len(t.Command) > 0 {
		r := common
		r.Command = t.Command
		all = append(all, r)
	}
	if len(all) == 0 {
		return nil, fmt.Errorf("it has no way: give it ping, webhook, smtp or command")
	}
	if len(all) > 1 && t.Name != "" {
		for i := range all {
			all[i].Name += "-" + all[i].Way()
		}
	}
	return all, nil
}

// secretOf is a secret, or the one line of the file that has it.
func secretOf(what, secret, file string) (snapshot.Secret, error) {
	switch {
	case file == "":
		return snapshot.Secret(secret), nil
	case secret != "" && what != "password":
		return "", fmt.Errorf("%s and %s_file are both given: leave one of them out", what, what)
	}
	text, err := readSecret(file)
	if err != nil {
		return "", fmt.Errorf("%s_file: %w", what, err)
	}
	return snapshot.Secret(text), nil
}

// maxSecret bounds a file with a secret, in bytes.
const maxSecret = 4 << 10

func readSecret(path string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer f.Close() // it was only read
	raw, err := io.ReadAll(io.LimitReader(f, maxSecret+1))
	if err != nil {
		return "", err
	}
	text := strings.TrimSpace(string(raw))
	if text == "" || len(raw) > maxSecret || strings.ContainsAny(text, "\r\n") {
		return "", fmt.Errorf("%s: want one line of at most %d bytes", path, maxSecret)
	}
	return text, nil
}
