package notify

import (
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
)

// If this fails, a mistake in the configuration is noticed when the alarm does not come, or is reported with a secret.
func TestNamed(t *testing.T) {
	t.Parallel()
	all, err := Named([]Receiver{{Ping: "https://hc/s3cret"}, {Webhook: "https://x/"}, {Webhook: "https://y/"}, {Name: "webhook-2", Command: []string{"/bin/true"}},
		{Mail: "smtps://mail.example.com", To: []string{"a@example.com"}}})
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, r := range all {
		names = append(names, r.Name+" "+r.Target())
	}
	if got := strings.Join(names, ", "); got != "ping https://hc, webhook https://x, webhook-3 https://y, webhook-2 true, mail smtps://mail.example.com" {
		t.Errorf("%s", got)
	}
	if all[4].From != "snapd@mail.example.com" || all[1].Format != JSON {
		t.Errorf("%+v", all)
	}
	to := []string{"a@example.com"}
	for want, r := range map[string]Receiver{
		"no way":            {},
		"or several":        {Ping: "https://x/", Webhook: "https://y/"},
		"no address":        {Ping: "hc/s3cret"},
		"is no address":     {Webhook: "https://%zz/s3cret"},
		"https://HOST/":     {Webhook: "file:///s3cret"},
		`no "everything"`:   {Ping: "https://x/", On: []Kind{"everything"}},
		"format \"xml\"":    {Webhook: "https://x/", Format: "xml"},
		"to is empty":       {Mail: "smtps://mail"},
		"smtps://USER@HOST": {Mail: "imap://mail", To: to},
		"nothing follows":   {Mail: "smtps://mail/inbox", To: to},
		"password has no":   {Mail: "smtps://u:s3cret@mail", To: to},
		"no mail address":   {Mail: "smtps://mail", To: []string{"a@example.com\r\nBcc: b@example.com"}},
		"has blanks":        {Name: "a b", Ping: "https://x/"},
		"more than one":     {Label: "a\nb", Ping: "https://x/"},
	} {
		if _, err := Named([]Receiver{r}); err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "s3cret") {
			t.Errorf("%q: %v", want, err)
		}
	}
	if _, err := Named([]Receiver{{Name: "a", Ping: "https://x/"}, {Name: "a", Ping: "https://y/"}}); err == nil {
		t.Error("two of a name")
	}
}

// If this fails, printing a configuration prints its secrets.
func TestSecretsAreNotPrinted(t *testing.T) {
	t.Parallel()
	r := Receiver{Ping: "s3cret", Webhook: "s3cret", Key: "s3cret", Password: "s3cret"}
	raw, err := json.Marshal(r)
	if err != nil {
		t.Fatal(err)
	}
	var log strings.Builder
	slog.New(slog.NewJSONHandler(&log, nil)).Info("x", "r", r, "s", r.Key)
	slog.New(slog.NewTextHandler(&log, nil)).Info("x", "r", r, "s", r.Key)
	all := fmt.Sprintf("%v %+v %#v %s %q %x", r, r, r, r.Key, r.Key, r.Key) + string(raw) + log.String()
	if strings.Contains(all, "s3cret") || strings.Contains(all, fmt.Sprintf("%x", "s3cret")) {
		t.Error(all)
	}
}

// If this fails, what repeats a secret back to us has it in log, status and events.
func TestErrorsHaveNoSecrets(t *testing.T) {
	t.Setenv("HTTPS_PROXY", "http://user:pr0xypass@proxy.example.com:3128")
	r := Receiver{Ping: "https://u:p4ssword@hc/s3cret-uuid?token=t0ken%2Fx", Key: "thekey", Password: "mailpass"}
	for _, text := range []string{string(r.Ping), "s3cret-uuid", "p4ssword", "t0ken%2Fx", "t0ken/x", "thekey", "mailpass", "bWFpbHBhc3M=", "pr0xypass", strings.Repeat("s3cret-uuid\n", 100)} {
		got := said(errors.New("it said: "+text+", and more"), r)
		for _, s := range []string{"s3cret", "p4ss", "t0ken", "thekey", "mailpass", "bWFpb", "pr0xy", "\n"} {
			if strings.Contains(got, s) {
				t.Errorf("%.80q becomes %q", text, got)
			}
		}
		if !strings.Contains(got, "it said: ") || len(got) > maxError {
			t.Errorf("%q", got)
		}
	}
	if got := said(errors.New("dial tcp: lookup hc: no such host"), r); !strings.Contains(got, "lookup hc: no such host") {
		t.Errorf("%q", got)
	}
}
