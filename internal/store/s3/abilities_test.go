package s3_test

import (
	"bytes"
	"context"
	"errors"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"example.com/snapd/internal/store"
	"example.com/snapd/internal/store/s3"
	"example.com/snapd/internal/store/storetest"
)

// If this fails, a store that does not refuse taken names is believed to, or one that does not know conditions is unusable.
func conditions(t *testing.T, gateway *storetest.Gateway) {
	conditional := func(r *http.Request) bool { return r.Header.Get("If-None-Match") != "" }
	for name, c := range map[string]struct {
		fault     func(r *http.Request) storetest.Fault
		exclusive bool
		reason    string
	}{
		"honoured": {nil, true, ""},
		"not implemented, as B2": {func(r *http.Request) storetest.Fault {
			if conditional(r) {
				return storetest.Fault{Status: 501, Code: "NotImplemented"}
			}
			return storetest.Fault{}
		}, false, "does not know If-None-Match"},
		"ignored": {func() func(r *http.Request) storetest.Fault {
			seen := map[string]bool{}
			return func(r *http.Request) storetest.Fault {
				if again := seen[r.URL.Path]; conditional(r) && again {
					return storetest.Fault{Stale: []byte{}}
				}
				seen[r.URL.Path] = seen[r.URL.Path] || conditional(r)
				return storetest.Fault{}
			}
		}(), false, "ignores If-None-Match"},
	} {
		b := behindProxy(t, gateway)
		b.proxy.Spoil(c.fault)
		if a := b.Abilities(); a.Exclusive || a.Reason == "" {
			t.Errorf("%s: abilities before the first object: %+v", name, a)
		}
		for object, content := range map[string][]byte{"small": []byte("small"), "large": data(part + 1)} {
			if _, err := put(t, b, object, content); err != nil {
				t.Fatalf("%s: put %s: %v", name, object, err)
			}
			if _, err := put(t, b, object, []byte("other")); !errors.Is(err, store.ErrExists) {
				t.Errorf("%s: put %s again: %v", name, object, err)
			}
			if got, err := get(t, b, object, 0, -1); err != nil || !bytes.Equal(got, content) {
				t.Errorf("%s: %s holds %d bytes, %v", name, object, len(got), err)
			}
		}
		if a := b.Abilities(); a.Exclusive != c.exclusive || !strings.Contains(a.Reason, c.reason) || c.exclusive != (a.Reason == "") {
			t.Errorf("%s: abilities: %+v, want exclusive %v because %q", name, a, c.exclusive, c.reason)
		}
	}
}

// If this fails, a store that does not know the checksum is unusable, or a checksum is claimed that was never compared.
func noChecksums(t *testing.T, gateway *storetest.Gateway) {
	b := behindProxy(t, gateway)
	b.proxy.Spoil(func(r *http.Request) storetest.Fault {
		for header := range r.Header {
			if strings.HasPrefix(header, "X-Amz-Checksum-") {
				return storetest.Fault{Status: 400, Code: "InvalidArgument"}
			}
		}
		return storetest.Fault{}
	})
	for name, content := range map[string][]byte{"small": []byte("small"), "large": data(part + 1)} {
		object, err := put(t, b, name, content)
		if err != nil {
			t.Errorf("put %s: %+v, %v", name, object, err)
		}
		if got, err := get(t, b, name, 0, -1); err != nil || !bytes.Equal(got, content) {
			t.Errorf("%s holds %d bytes, %v", name, len(got), err)
		}
	}
	if a := b.Abilities(); a.Checksum != "" || !a.Exclusive {
		t.Errorf("abilities: %+v", a)
	}
}

// If this fails, an upload of hours begins again after each stop, or joins two objects.
func resume(t *testing.T, gateway *storetest.Gateway) {
	b := behindProxy(t, gateway)
	content := data(6*part + 1)
	stopped, stop := context.WithCancel(t.Context())
	var parts atomic.Int64
	b.proxy.Spoil(func(r *http.Request) storetest.Fault {
		if is("PUT", "partNumber")(r) && parts.Add(1) > 5 {
			stop()
			return storetest.Fault{Reset: true}
		}
		return storetest.Fault{}
	})
	_, err := b.Put(stopped, "o", bytes.NewReader(content), int64(len(content)))
	if !errors.Is(err, context.Canceled) {
		t.Fatalf("put that is stopped: %v", err)
	}
	b.proxy.Spoil(nil)
	b.proxy.Requests()
	again := open(t, b.url, s3.Options{}) // another process
	if _, err := put(t, again, "o", content); err != nil {
		t.Fatal(err)
	}
	sent := count(b.proxy.Requests(), "PUT ")
	if sent == 0 || sent > 5 {
		t.Errorf("%d of 7 parts were sent again", sent)
	}
	b.wantStored(t, "o", content)

	// Another object of the same name, the upload of whose predecessor is still there.
	other := slices.Repeat([]byte("another"), part)
	stopped, stop = context.WithCancel(t.Context())
	b.proxy.Spoil(func(r *http.Request) storetest.Fault {
		if is("POST", "?uploadId")(r) {
			stop()
			return storetest.Fault{Reset: true}
		}
		return storetest.Fault{}
	})
	if _, err := b.Put(stopped, "p", bytes.NewReader(content), int64(len(content))); err == nil {
		t.Fatal("the upload was not stopped")
	}
	b.proxy.Spoil(nil)
	if _, err := put(t, b, "p", other); err != nil {
		t.Fatal(err)
	}
	b.wantStored(t, "p", other)
	left, err := gateway.Client(t).ListMultipartUploads(t.Context(), strings.Split(b.url, "/")[2], "crm/p", "", "", "", 100)
	if err != nil || len(left.Uploads) != 1 { // it may be another writer's, who is still sending
		t.Errorf("%d uploads are left, %v, want that of the other object", len(left.Uploads), err)
	}
}

// If this fails, an upload of hours begins again each time that the store was busy for longer than a minute.
func busy(t *testing.T, gateway *storetest.Gateway) {
	b := behindProxy(t, gateway)
	content := data(6*part + 1)
	var parts atomic.Int64
	b.proxy.Spoil(func(r *http.Request) storetest.Fault {
		if is("PUT", "partNumber")(r) && parts.Add(1) > 5 {
			return storetest.Fault{Status: http.StatusServiceUnavailable, Code: "SlowDown"}
		}
		return storetest.Fault{}
	})
	impatient := open(t, b.url, s3.Options{Patience: 50 * time.Millisecond})
	if _, err := put(t, impatient, "o", content); !errors.Is(err, store.ErrThrottled) {
		t.Fatalf("put to a busy store: %v", err)
	}
	b.proxy.Spoil(nil)
	b.proxy.Requests()
	if _, err := put(t, impatient, "o", content); err != nil {
		t.Fatal(err)
	}
	if sent := count(b.proxy.Requests(), "PUT "); sent == 0 || sent > 5 {
		t.Errorf("%d of 7 parts were sent again", sent)
	}
	b.wantStored(t, "o", content)
}

func count(requests []string, prefix string) (n int) {
	for _, request := range requests {
		if strings.HasPrefix(request, prefix) {
			n++
		}
	}
	return n
}
