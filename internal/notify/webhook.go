package notify

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// The headers of a webhook. The signature is the hexadecimal HMAC-SHA256, by the receiver's key, over the time stamp, a
// full stop, and the body.
const (
	headerID        = "Snapd-Id"        // the message's: drop what came before
	headerTimestamp = "Snapd-Timestamp" // seconds since 1970: refuse what is old
	headerSignature = "Snapd-Signature" // "v1=" and the signature
)

// maxDiscord is the most characters that Discord takes.
const maxDiscord = 2000

func sendWebhook(ctx context.Context, client *http.Client, r Receiver, m Message, now time.Time) error {
	header := http.Header{"Content-Type": {"application/json"}}
	body, err := webhookBody(r.Format, m, header)
	if err != nil {
		return fmt.Errorf("body of the message: %w", err)
	}
	header.Set(headerID, m.ID)
	if r.Key != "" {
		stamp := strconv.FormatInt(now.Unix(), 10)
		header.Set(headerTimestamp, stamp)
		header.Set(headerSignature, "v1="+sign(string(r.Key), stamp, body))
	}
	return post(ctx, client, string(r.Webhook), header, body)
}

func sign(key, stamp string, body []byte) string {
	mac := hmac.New(sha256.New, []byte(key))
	mac.Write([]byte(stamp + "."))
	mac.Write(body)
	return hex.EncodeToString(mac.Sum(nil))
}

// webhookBody is the message in a format; it may set headers.
func webhookBody(f Format, m Message, header http.Header) ([]byte, error) {
	urgent := 4
	if m.good() {
		urgent = 3
	}
	switch f {
	case Slack: // https://api.slack.com/messaging/webhooks
		return encode(map[string]any{"text": strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;").Replace(m.body())})
	case Discord: // https://discord.com/developers/docs/resources/webhook
		return encode(map[string]any{"content": cut(m.body(), maxDiscord), "allowed_mentions": map[string]any{"parse": []string{}}})
	case Ntfy: // https://docs.ntfy.sh/publish
		header.Set("Content-Type", "text/plain; charset=utf-8")
		header.Set("Title", ascii(m.title()))
		header.Set("Priority", strconv.Itoa(urgent))
		return []byte(m.body()), nil
	case Gotify: // https://gotify.net/docs/pushmsg
		return encode(map[string]any{"title": m.title(), "message": m.body(), "priority": 2*urgent - 2})
	}
	return encode(m)
}

// encode returns v as JSON whose texts are as they are.
func encode(v any) ([]byte, error) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return nil, err
	}
	return bytes.TrimSpace(b.Bytes()), nil
}

// ascii returns s as a header can have it.
func ascii(s string) string {
	return strings.Map(func(c rune) rune {
		if c < ' ' || c > '~' {
			return '?'
		}
		return c
	}, s)
}
