package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"io"
	"math/big"
	"net"
	"net/http"
	"os"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
)

// longest bounds a wait, on a machine that is as busy as it may be.
const longest = 5 * time.Minute

// pageAddress matches the line with the page's address.
var pageAddress = regexp.MustCompile(`(https?://[^/\s]+)/web/admin/backups/`)

// address waits until a file says where the page is, and keeps what comes before
// the path: address FILE VAR.
func address(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: address FILE VAR")
	}
	for deadline := time.Now().Add(longest); ; time.Sleep(20 * time.Millisecond) {
		text, err := os.ReadFile(ts.MkAbs(args[0]))
		if found := pageAddress.FindSubmatch(text); found != nil {
			ts.Setenv(args[1], string(found[1]))
			return
		}
		if time.Now().After(deadline) {
			ts.Fatalf("no address in %s after %v (%v):\n%s", args[0], longest, err, text)
		}
	}
}

// httpCmd makes a request and wants a status; what is answered becomes a file. The
// token's file may be -, for none:
//
//	http STATUS METHOD URL ANSWER [TOKENFILE [BODY]]
func httpCmd(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 4 || len(args) > 6 {
		ts.Fatalf("usage: http STATUS METHOD URL ANSWER [TOKENFILE [BODY]]")
	}
	token, body := "-", ""
	if len(args) > 4 {
		token = args[4]
	}
	if len(args) > 5 {
		body = args[5]
	}
	resp := request(ts, args[1], args[2], token, body)
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	ts.Check(err)
	ts.Check(os.WriteFile(ts.MkAbs(args[3]), answer, 0o600))
	if got := strconv.Itoa(resp.StatusCode); got != args[0] {
		ts.Fatalf("%s %s: %s, want %s\n%s", args[1], args[2], resp.Status, args[0], answer)
	}
}

// httpUntil asks again and again, until the answer matches: http_until REGEXP URL
// ANSWER TOKENFILE.
func httpUntil(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 4 {
		ts.Fatalf("usage: http_until REGEXP URL ANSWER TOKENFILE")
	}
	want := regexp.MustCompile(args[0])
	for deadline := time.Now().Add(longest); ; time.Sleep(20 * time.Millisecond) {
		httpCmd(ts, false, []string{"200", http.MethodGet, args[1], args[2], args[3]})
		answer := ts.ReadFile(args[2])
		if want.MatchString(answer) {
			return
		}
		if time.Now().After(deadline) {
			ts.Fatalf("%s never matched %s:\n%s", args[1], want, answer)
		}
	}
}

// stream writes to a file what a server sends until it hangs up, and does not wait
// for that: stream URL FILE TOKENFILE.
func stream(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 3 {
		ts.Fatalf("usage: stream URL FILE TOKENFILE")
	}
	resp := request(ts, http.MethodGet, args[0], args[2], "")
	f, err := os.Create(ts.MkAbs(args[1]))
	ts.Check(err)
	ended := make(chan error, 1)
	go func() {
		_, err := io.Copy(f, resp.Body)
		ended <- errors.Join(err, resp.Body.Close(), f.Close())
	}()
	ts.Defer(func() { ts.Check(<-ended) })
}

// request makes one, and takes any answer.
func request(ts *testscript.TestScript, method, url, tokenFile, body string) *http.Response {
	req, err := http.NewRequest(method, url, strings.NewReader(body))
	ts.Check(err)
	if body != "" {
		req.Header.Set("Content-Type", "application/json")
	}
	if tokenFile != "-" {
		token, err := os.ReadFile(ts.MkAbs(tokenFile))
		ts.Check(err)
		req.Header.Set("Authorization", "Bearer "+strings.TrimSpace(string(token)))
	}
	client := &http.Client{Timeout: time.Minute, Transport: &http.Transport{DisableKeepAlives: true,
		TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}} // the certificate is one of certificate's
	resp, err := client.Do(req)
	ts.Check(err)
	return resp
}

// certificate makes a self-signed one for 127.0.0.1: certificate CERT KEY.
func certificate(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: certificate CERT KEY")
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	ts.Check(err)
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}}
	cert, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	ts.Check(err)
	private, err := x509.MarshalPKCS8PrivateKey(key)
	ts.Check(err)
	ts.Check(os.WriteFile(ts.MkAbs(args[0]), pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert}), 0o600))
	ts.Check(os.WriteFile(ts.MkAbs(args[1]), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private}), 0o600))
}

// occupy listens until the script ends: occupy ADDRESS VAR. Another script's serve
// may have the address for a moment; who has it for longer serves as well.
func occupy(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: occupy ADDRESS VAR")
	}
	l, err := net.Listen("tcp", args[0])
	for deadline := time.Now().Add(5 * time.Second); errors.Is(err, syscall.EADDRINUSE) && time.Now().Before(deadline); {
		time.Sleep(20 * time.Millisecond)
		l, err = net.Listen("tcp", args[0])
	}
	if errors.Is(err, syscall.EADDRINUSE) {
		ts.Setenv(args[1], args[0])
		return
	}
	ts.Check(err)
	ts.Defer(func() { l.Close() })
	ts.Setenv(args[1], l.Addr().String())
}
