package storetest

import (
	"bytes"
	"context"
	"errors"
	"io"
	"strings"
	"testing"

	"example.com/snapd/internal/store"
)

func TestMemoryConforms(t *testing.T) {
	Suite{Place: func(*testing.T) func() store.Store {
		m := NewMemory()
		return func() store.Store { return m }
	}}.Run(t)
}

// If this fails, a test believes that it met a fault and did not.
func TestMemoryFaults(t *testing.T) {
	m, broken := NewMemory(), errors.New("broken")
	put := func(name string) error {
		_, err := m.Put(t.Context(), name, strings.NewReader("data"), 4)
		return err
	}
	m.Before(func(_ context.Context, op Op, name string) error {
		if op == Put && name == "refused" {
			return broken
		}
		return nil
	})
	if err := put("refused"); !errors.Is(err, broken) || m.Bytes("refused") != nil {
		t.Errorf("a fault before put: %v, stored %q", err, m.Bytes("refused"))
	}
	m.After(func(op Op, _ string) error {
		if op == Put {
			return broken
		}
		return nil
	})
	if err := put("lost"); !errors.Is(err, broken) || string(m.Bytes("lost")) != "data" {
		t.Errorf("a lost answer of put: %v, stored %q", err, m.Bytes("lost"))
	}
	m.After(nil)
	m.FreezeList(true)
	if err := put("new"); err != nil {
		t.Fatal(err)
	}
	for object := range m.List(t.Context(), "new", "") {
		t.Errorf("the frozen list shows %s", object.Name)
	}
	m.FreezeList(false)
	m.Body(func(_ string, _ int64, body []byte) []byte { return body[:2] })
	if got, err := read(t.Context(), m, "new", "", 0, -1); string(got) != "da" || !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("a cut body: %q, %v", got, err)
	}
	m.Body(func(_ string, _ int64, body []byte) []byte { return bytes.ToUpper(body) })
	if got, err := read(t.Context(), m, "new", "", 1, 2); string(got) != "AT" || err != nil {
		t.Errorf("a changed body: %q, %v", got, err)
	}
	if m.Count(Put) != 3 || m.Count(Get) != 2 || m.Count(List) != 1 {
		t.Errorf("counted %d puts, %d gets, %d lists", m.Count(Put), m.Count(Get), m.Count(List))
	}
}
