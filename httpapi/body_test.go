package httpapi

import (
	"bytes"
	"encoding/json"
	"testing"
)

// If this fails, a body that the check of its members accepts is read otherwise than
// it was checked, or crashes the reader.
func FuzzBody(f *testing.F) {
	for _, seed := range []string{`{}`, `{"note":"a","pin":true}`, `{"note":"a","note":"b"}`, `{"Note":1}`, `{}{}`, `[{}]`, `{"pin":[{"a":[1e9]}]}`, `{"note":"\ud800"}`, `{"note" "a"}`, `{,}`} {
		f.Add([]byte(seed))
	}
	type body struct {
		Note string `json:"note"`
		Pin  *bool  `json:"pin"`
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		var got body
		if err := decodeObject(raw, &got); err != nil {
			if p := problemOf(err); p.Status != 422 || p.Code != "invalid" || len(p.Detail) > 400 {
				t.Errorf("%q is answered %+v", raw, p)
			}
			return
		}
		var members map[string]json.RawMessage
		if err := json.Unmarshal(raw, &members); err != nil {
			t.Fatalf("%q is accepted, and is not JSON: %v", raw, err)
		}
		for name := range members {
			if name != "note" && name != "pin" {
				t.Errorf("%q is accepted with the member %q", raw, name)
			}
		}
		var note string
		if v := members["note"]; v != nil && !bytes.Equal(bytes.TrimSpace(v), []byte("null")) {
			if err := json.Unmarshal(v, &note); err != nil {
				t.Fatal(err)
			}
		}
		if note != got.Note {
			t.Errorf("%q is read as %q", raw, got.Note)
		}
	})
}
