package notify

import (
	"encoding/base64"
	"net/url"
	"os"
	"slices"
	"strings"

	"example.com/snapd/internal/message"
)

// maxError bounds the text of a failure, in bytes.
const maxError = 300

// said is err as status, log and events have it: on one line, cut, and without the receiver's secrets, no matter who repeated them.
func said(err error, r Receiver) string {
	if err == nil {
		return ""
	}
	text := message.OneLine(err.Error())
	for _, s := range r.secrets() {
		text = strings.ReplaceAll(text, s, "…")
	}
	return cut(text, maxError)
}

// minSecret is the length of the shortest text that is taken for a secret: "/" is none.
const minSecret = 4

// secrets are the texts that must not be shown, the longest first.
func (r Receiver) secrets() []string {
	all := []string{string(r.Key), string(r.Password)}
	if r.Password != "" {
		all = append(all, base64.StdEncoding.EncodeToString([]byte(r.Password)))
	}
	proxies := []string{os.Getenv("HTTP_PROXY"), os.Getenv("http_proxy"), os.Getenv("HTTPS_PROXY"), os.Getenv("https_proxy")}
	for i, address := range append([]string{string(r.Ping), string(r.Webhook)}, proxies...) {
		u, err := url.Parse(address)
		if err != nil {
			all = append(all, address)
			continue
		}
		if password, has := u.User.Password(); has {
			all = append(all, password, u.User.String())
		}
		if i >= 2 {
			continue // where a proxy is, is no secret
		}
		all = append(all, address, u.RequestURI(), u.Path, u.EscapedPath(), u.RawQuery)
		all = append(all, strings.Split(u.Path, "/")...)
		for _, values := range u.Query() {
			all = append(all, values...)
		}
		all = append(all, strings.FieldsFunc(u.RawQuery, func(c rune) bool { return c == '&' || c == '=' })...)
	}
	all = slices.DeleteFunc(all, func(s string) bool { return len(s) < minSecret })
	slices.SortFunc(all, func(a, b string) int { return len(b) - len(a) })
	return slices.Compact(all)
}
