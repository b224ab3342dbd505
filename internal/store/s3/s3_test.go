package s3_test

import (
	"bytes"
	"errors"
	"io"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/minio/minio-go/v7"

	"example.com/snapd/internal/store"
	"example.com/snapd/internal/store/s3"
	"example.com/snapd/internal/store/storetest"
)

func init() { minio.DefaultRetryUnit = time.Millisecond } // how long that waits after a failure that it does not try again

// part is the least that the protocol allows.
const part = 5 << 20

func open(t testing.TB, url string, options s3.Options) *s3.S3 {
	t.Helper()
	place, err := s3.Parse(url)
	if err != nil {
		t.Fatal(err)
	}
	if options.Env == nil {
		options.Env = storetest.Env
	}
	options.PartSize, options.Wait = part, time.Millisecond
	s, err := s3.Open(place, options)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestConforms(t *testing.T) {
	gateway := storetest.StartGateway(t)
	storetest.Suite{
		Place: func(t *testing.T) func() store.Store {
			url := gateway.URL(t, gateway.Address)
			return func() store.Store { return open(t, url, s3.Options{PageSize: 50}) }
		},
		Large: part, Names: 160, Secrets: []string{storetest.SecretKey},
	}.Run(t)
}

func put(t testing.TB, s store.Store, name string, data []byte) (store.Object, error) {
	t.Helper()
	return s.Put(t.Context(), name, bytes.NewReader(data), int64(len(data)))
}

func get(t testing.TB, s store.Store, name string, off, n int64) ([]byte, error) {
	t.Helper()
	r, err := s.Get(t.Context(), name, "", off, n)
	if err != nil {
		return nil, err
	}
	data, err := io.ReadAll(r)
	return data, errors.Join(err, r.Close())
}

// data is n bytes that do not repeat.
func data(n int) []byte {
	b := make([]byte, n)
	rand.NewChaCha8([32]byte{1}).Read(b) // never fails
	return b
}
