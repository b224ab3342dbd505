package s3_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"example.com/snapd/internal/store"
	"example.com/snapd/internal/store/s3"
	"example.com/snapd/internal/store/storetest"
)

// behind is a store behind a proxy.
type behind struct {
	*s3.S3
	proxy   *storetest.Proxy
	gateway *storetest.Gateway
	url     string
	retries atomic.Int64
}

func behindProxy(t *testing.T, gateway *storetest.Gateway) *behind {
	t.Helper()
	b := &behind{proxy: storetest.StartProxy(t, gateway.Address), gateway: gateway}
	b.url = gateway.URL(t, b.proxy.Address)
	b.S3 = open(t, b.url, s3.Options{Retrying: func(error, time.Duration) { b.retries.Add(1) }})
	return b
}

func is(method, part string) func(*http.Request) bool {
	return func(r *http.Request) bool {
		return r.Method == method && strings.Contains(storetest.Kind(r), part)
	}
}

func any(*http.Request) bool { return true }

// wantStored fails the test unless name holds data, seen past the proxy.
func (b *behind) wantStored(t *testing.T, name string, want []byte) {
	t.Helper()
	b.proxy.Spoil(nil)
	if got, err := get(t, b, name, 0, -1); err != nil || !bytes.Equal(got, want) {
		t.Errorf("%s holds %d bytes, %v, want %d", name, len(got), err, len(want))
	}
}

func TestFaults(t *testing.T) {
	gateway := storetest.StartGateway(t)
	for name, test := range map[string]func(*testing.T, *storetest.Gateway){
		"Transient": transient, "Lost": lost, "Permanent": permanent, "CutBodies": cutBodies, "Conditions": conditions, "NoChecksums": noChecksums,
		"Resume": resume, "Busy": busy, "Gone": gone, "StaleList": staleList, "EndlessList": endlessList, "SlowCaller": slowCaller, "Deadline": deadline, "Requests": requests, "Silence": silence, "WrongSum": wrongSum,
		"Sweep": sweep, "Locks": locks, "Certificates": certificates,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(t, gateway)
		})
	}
}

// If this fails, a backup is not stored because the store was busy for a moment.
func transient(t *testing.T, gateway *storetest.Gateway) {
	b := behindProxy(t, gateway)
	large := data(part + 1)
	// From now on no put looks first: the answer to a HEAD has no body that could say SlowDown, and net/http repeats one by itself.
	if _, err := put(t, b, "first", []byte("first")); err != nil {
		t.Fatal(err)
	}
	for name, fault := range map[string]storetest.Fault{
		"408": {Status: 408, Code: "RequestTimeout"}, "429": {Status: 429, Code: "TooManyRequests"}, "500": {Status: 500, Code: "InternalError"}, "502": {Status: 502},
		"503": {Status: 503, Code: "SlowDown"}, "504": {Status: 504}, "slow400": {Status: 400, Code: "SlowDown"}, "reset": {Reset: true}, "409": {Status: 409, Code: "ConditionalRequestConflict"},
	} {
		b.retries.Store(0)
		b.proxy.Spoil(storetest.First(3, fault, any))
		if _, err := put(t, b, "small/"+name, []byte(name)); err != nil || b.retries.Load() != 3 {
			t.Errorf("%s: put: %v after %d retries", name, err, b.retries.Load())
		}
		b.proxy.Spoil(storetest.First(2, fault, any))
		if got, err := get(t, b, "small/"+name, 0, -1); err != nil || string(got) != name {
			t.Errorf("%s: get: %q, %v", name, got, err)
		}
		b.proxy.Spoil(storetest.First(2, fault, any))
		listed := 0
		for _, err := range b.List(t.Context(), "small/"+name, "") {
			if err != nil {
				t.Errorf("%s: list: %v", name, err)
			}
			listed++
		}
		if listed != 1 {
			t.Errorf("%s: listed %d objects", name, listed)
		}
		b.proxy.Spoil(storetest.First(2, fault, is("DELETE", "small")))
		if err := b.Delete(t.Context(), "small/"+name); err != nil {
			t.Errorf("%s: delete: %v", name, err)
		}
	}
	for _, step := range []func(*http.Request) bool{is("POST", "?uploads"), is("PUT", "partNumber"), is("POST", "?uploadId"), is("HEAD", "")} {
		b.proxy.Spoil(storetest.First(2, storetest.Fault{Reset: true}, step))
		if _, err := put(t, b, "large", large); err != nil {
			t.Errorf("put of a large object: %v", err)
		}
		b.wantStored(t, "large", large)
		if err := b.Delete(t.Context(), "large"); err != nil {
			t.Error(err)
		}
	}
}

// If this fails, an object that was stored is reported as another writer's, because the answer to the request got lost.
func lost(t *testing.T, gateway *storetest.Gateway) {
	b := behindProxy(t, gateway)
	for name, c := range map[string]struct {
		content []byte
		step    func(*http.Request) bool
	}{
		"small":    {[]byte("small"), is("PUT", "small")},
		"part":     {data(2*part + 1), is("PUT", "partNumber")},
		"complete": {data(2*part + 2), is("POST", "?uploadId")},
	} {
		b.proxy.Spoil(storetest.First(1, storetest.Fault{Lose: true}, c.step))
		if _, err := put(t, b, name, c.content); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		b.wantStored(t, name, c.content)
	}
	b.proxy.Spoil(storetest.First(1, storetest.Fault{Lose: true}, is("DELETE", "small")))
	if err := b.Delete(t.Context(), "small"); err != nil {
		t.Errorf("delete: %v", err)
	}
}

// If this fails, a wrong key is tried for ever, or is taken for a store that is out of order.
func permanent(t *testing.T, gateway *storetest.Gateway) {
	b := behindProxy(t, gateway)
	if _, err := put(t, b, "there", []byte("there")); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		fault storetest.Fault
		put   error // what each operation is to return; nil is any error that is none of the store's
		get   error
	}{
		"denied":      {storetest.Fault{Status: 403, Code: "AccessDenied"}, store.ErrDenied, store.ErrDenied},
		"unknown key": {storetest.Fault{Status: 403, Code: "InvalidAccessKeyId"}, store.ErrDenied, store.ErrDenied},
		"clock":       {storetest.Fault{Status: 403, Code: "RequestTimeTooSkewed"}, store.ErrDenied, store.ErrDenied},
		"expired":     {storetest.Fault{Status: 400, Code: "ExpiredToken"}, store.ErrDenied, store.ErrDenied},
		"no bucket":   {storetest.Fault{Status: 404, Code: "NoSuchBucket"}, store.ErrGone, store.ErrGone},
		"taken":       {storetest.Fault{Status: 412, Code: "PreconditionFailed"}, store.ErrExists, store.ErrChanged},
		"full":        {storetest.Fault{Status: 507, Code: "XMinioStorageFull"}, store.ErrFull, store.ErrFull},
		"garbage":     {storetest.Fault{Status: 418, Code: "<<<"}, nil, nil},
	} {
		b.retries.Store(0)
		b.proxy.Spoil(func(r *http.Request) storetest.Fault {
			if r.Method == http.MethodHead {
				return storetest.Fault{}
			}
			return c.fault
		})
		_, errPut := put(t, b, "new", []byte("new"))
		_, errLarge := put(t, b, "large", data(part+1))
		_, errGet := get(t, b, "there", 0, -1)
		for op, got := range map[string][2]error{"put": {errPut, c.put}, "put of a large object": {errLarge, c.put}, "get": {errGet, c.get}} {
			if got[0] == nil || got[1] != nil && !errors.Is(got[0], got[1]) {
				t.Errorf("%s: %s: %v, want %v", name, op, got[0], got[1])
			}
			for _, other := range []error{store.ErrExists, store.ErrMissing, store.ErrChanged, store.ErrDenied, store.ErrThrottled, store.ErrGone, store.ErrFull} {
				if other != got[1] && errors.Is(got[0], other) {
					t.Errorf("%s: %s: %v is %v, too", name, op, got[0], other)
				}
			}
		}
		if b.retries.Load() != 0 {
			t.Errorf("%s: %d retries", name, b.retries.Load())
		}
	}
	b.wantStored(t, "there", []byte("there"))
	none := open(t, b.url, s3.Options{Env: func(name string) string {
		return map[string]string{"AWS_EC2_METADATA_DISABLED": "true", "AWS_SHARED_CREDENTIALS_FILE": "/nonexistent"}[name]
	}})
	if _, err := none.Stat(t.Context(), "there"); !errors.Is(err, store.ErrDenied) || !strings.Contains(err.Error(), "AWS_ACCESS_KEY_ID_FILE") {
		t.Errorf("without credentials: %v", err)
	}
	wrong := open(t, b.url, s3.Options{Env: func(name string) string {
		return strings.Replace(storetest.Env(name), storetest.SecretKey, "wr0ng", 1)
	}})
	if _, err := wrong.Stat(t.Context(), "there"); !errors.Is(err, store.ErrDenied) || strings.Contains(err.Error(), "wr0ng") {
		t.Errorf("with a wrong key: %v", err)
	}
}

// If this fails, a restore ends because one of its connections broke.
func cutBodies(t *testing.T, gateway *storetest.Gateway) {
	b := behindProxy(t, gateway)
	content := data(1 << 20)
	if _, err := put(t, b, "o", content); err != nil {
		t.Fatal(err)
	}
	b.proxy.Spoil(storetest.First(5, storetest.Fault{Cut: 100_000}, is("GET", "/o")))
	got, err := get(t, b, "o", 7, 1<<20-20)
	if err != nil || !bytes.Equal(got, content[7:1<<20-13]) {
		t.Errorf("get with broken connections: %d bytes, %v", len(got), err)
	}
	ranged := 0
	for _, request := range b.proxy.Requests() {
		if strings.HasPrefix(request, "GET ") {
			ranged++
		}
	}
	if ranged < 5 {
		t.Errorf("%d requests: the connections did not break", ranged)
	}

	// The object is replaced while it is read: the two halves must not come from two objects.
	r, err := b.Get(t.Context(), "o", "", 0, -1)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	b.proxy.Spoil(storetest.First(1, storetest.Fault{Cut: 100_000}, is("GET", "/o")))
	r2, err := b.Get(t.Context(), "o", "", 0, -1)
	if err != nil {
		t.Fatal(err)
	}
	defer r2.Close()
	if err := b.Delete(t.Context(), "o"); err != nil {
		t.Fatal(err)
	}
	if _, err := put(t, b, "o", data(1<<20-1)); err != nil {
		t.Fatal(err)
	}
	var all bytes.Buffer
	if _, err := all.ReadFrom(r2); !errors.Is(err, store.ErrChanged) {
		t.Errorf("the object changed while it was read: %d bytes, %v", all.Len(), err)
	}
}

// If this fails, a bucket that was deleted looks like one that is empty.
func gone(t *testing.T, gateway *storetest.Gateway) {
	s := open(t, "s3://never-made/crm?endpoint=http://"+gateway.Address, s3.Options{})
	_, errPut := put(t, s, "o", []byte("o"))
	_, errLarge := put(t, s, "large", data(part+1))
	_, errGet := get(t, s, "o", 0, -1)
	_, errStat := s.Stat(t.Context(), "o")
	var errList error
	for _, errList = range s.List(t.Context(), "", "") {
	}
	for op, err := range map[string]error{"put": errPut, "put of a large object": errLarge, "get": errGet, "stat": errStat, "list": errList, "delete": s.Delete(t.Context(), "o")} {
		if !errors.Is(err, store.ErrGone) || errors.Is(err, store.ErrMissing) {
			t.Errorf("%s: %v", op, err)
		}
	}
}

// If this fails, what a listing shows that lags behind is trusted more than the store's refusal.
func staleList(t *testing.T, gateway *storetest.Gateway) {
	b := behindProxy(t, gateway)
	const empty = `<?xml version="1.0"?><ListBucketResult><IsTruncated>false</IsTruncated></ListBucketResult>`
	const muddled = `<?xml version="1.0"?><ListBucketResult><Contents><Key>crm/b</Key></Contents><Contents><Key>crm/a</Key></Contents></ListBucketResult>`
	if _, err := put(t, b, "o", []byte("o")); err != nil {
		t.Fatal(err)
	}
	b.proxy.Spoil(func(r *http.Request) storetest.Fault {
		if is("GET", "list-type")(r) {
			return storetest.Fault{Stale: []byte(empty)}
		}
		return storetest.Fault{}
	})
	for object, err := range b.List(t.Context(), "", "") {
		t.Errorf("list shows %+v, %v", object, err)
	}
	if _, err := put(t, b, "o", []byte("other")); !errors.Is(err, store.ErrExists) {
		t.Errorf("put of what the list does not show: %v", err)
	}
	b.proxy.Spoil(func(*http.Request) storetest.Fault { return storetest.Fault{Stale: []byte(muddled)} })
	var last error
	for _, last = range b.List(t.Context(), "", "") {
	}
	if last == nil {
		t.Error("a list that is not in order is taken")
	}
}

// If this fails, a store that is broken, or wants to be, takes all memory, or the sender for ever.
func endlessList(t *testing.T, gateway *storetest.Gateway) {
	const again = `<?xml version="1.0"?><ListBucketResult><IsTruncated>true</IsTruncated><NextContinuationToken>t</NextContinuationToken>%s</ListBucketResult>`
	for name, page := range map[string]string{"the same page": "<Contents><Key>crm/a</Key></Contents>", "the same page of another program": "<Contents><Key>crm/a b</Key></Contents>", "pages without names": ""} {
		b := behindProxy(t, gateway)
		b.proxy.Spoil(func(*http.Request) storetest.Fault { return storetest.Fault{Stale: fmt.Appendf(nil, again, page)} })
		s := open(t, b.url, s3.Options{Silence: 300 * time.Millisecond})
		var last error
		for _, last = range s.List(t.Context(), "", "") {
		}
		if last == nil || !strings.Contains(last.Error(), "the store's list") {
			t.Errorf("%s: %v", name, last)
		}
	}
}

// If this fails, a caller that works on each name as it comes gets a list that ends early.
func slowCaller(t *testing.T, gateway *storetest.Gateway) {
	b := behindProxy(t, gateway)
	for _, name := range []string{"a", "b", "c"} {
		if _, err := put(t, b, name, []byte(name)); err != nil {
			t.Fatal(err)
		}
	}
	const silence = 400 * time.Millisecond // a page takes a fraction of that, also under load
	var listed []string
	for object, err := range open(t, b.url, s3.Options{Silence: silence, PageSize: 2}).List(t.Context(), "", "") {
		if err != nil {
			t.Fatal(err)
		}
		listed = append(listed, object.Name)
		time.Sleep(2 * silence)
	}
	if len(listed) != 3 {
		t.Errorf("listed %q, want all", listed)
	}
}

// If this fails, a store that is gone for an hour is waited for without a word, or without an end.
func deadline(t *testing.T, gateway *storetest.Gateway) {
	b := behindProxy(t, gateway)
	if _, err := put(t, b, "there", []byte("there")); err != nil {
		t.Fatal(err)
	}
	b.proxy.Spoil(func(*http.Request) storetest.Fault { return storetest.Fault{Status: 503, Code: "SlowDown"} })
	ctx, cancel := context.WithCancelCause(t.Context())
	enough := errors.New("enough")
	s := open(t, b.url, s3.Options{Retrying: func(err error, _ time.Duration) {
		if b.retries.Add(1) == 5 {
			cancel(enough)
		}
	}})
	_, err := s.Put(ctx, "o", strings.NewReader("o"), 1)
	if !errors.Is(err, enough) || !errors.Is(err, store.ErrThrottled) || !strings.Contains(err.Error(), "503") {
		t.Errorf("put until the context ends: %v", err)
	}
	if _, err := s.Get(ctx, "there", "", 0, -1); !errors.Is(err, enough) {
		t.Errorf("get after the context ended: %v", err)
	}
}

// If this fails, each backup costs more requests than it must.
func requests(t *testing.T, gateway *storetest.Gateway) {
	b := behindProxy(t, gateway)
	if _, err := put(t, b, "first", []byte("first")); err != nil {
		t.Fatal(err)
	}
	b.proxy.Requests()
	if _, err := put(t, b, "second", []byte("second")); err != nil {
		t.Fatal(err)
	}
	if got := b.proxy.Requests(); len(got) != 1 || !strings.HasPrefix(got[0], "PUT ") {
		t.Errorf("put of a small object is %q", got)
	}
	if _, err := get(t, b, "second", 1, 3); err != nil {
		t.Fatal(err)
	}
	if got := b.proxy.Requests(); len(got) != 1 {
		t.Errorf("get is %q", got)
	}
	if _, err := put(t, b, "large", data(2*part)); err != nil {
		t.Fatal(err)
	}
	if got := b.proxy.Requests(); len(got) > 7 {
		t.Errorf("put of a large object in two parts is %q", got)
	}
}

// If this fails, a server that hangs is waited for without end.
func silence(t *testing.T, gateway *storetest.Gateway) {
	b := behindProxy(t, gateway)
	release := make(chan struct{})
	defer close(release)
	var hung atomic.Int64
	b.proxy.Spoil(func(r *http.Request) storetest.Fault {
		if hung.Add(1) == 1 {
			return storetest.Fault{Wait: release}
		}
		return storetest.Fault{}
	})
	s := open(t, b.url, s3.Options{Silence: 50 * time.Millisecond})
	if _, err := put(t, s, "o", []byte("o")); err != nil {
		t.Error(err)
	}
	b.wantStored(t, "o", []byte("o"))
}

// If this fails, an object counts as stored whose bytes the store has got wrong.
func wrongSum(t *testing.T, gateway *storetest.Gateway) {
	b := behindProxy(t, gateway)
	b.proxy.Spoil(func(r *http.Request) storetest.Fault {
		if r.Method == http.MethodPut {
			return storetest.Fault{Header: http.Header{"X-Amz-Checksum-Crc64nvme": {"AAAAAAAAAAA="}}}
		}
		return storetest.Fault{}
	})
	if object, err := put(t, b, "o", []byte("o")); err == nil {
		t.Errorf("a wrong checksum is taken: %+v", object)
	}
	b.proxy.Spoil(nil)
	if _, err := b.Stat(t.Context(), "o"); !errors.Is(err, store.ErrMissing) {
		t.Errorf("the wrong object is still there: %v", err)
	}
}
