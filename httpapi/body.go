package httpapi

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"reflect"
	"slices"
	"strings"
	"time"
	"unicode/utf8"
)

// admitBody bounds the body by the route's limit. Where none is taken it refuses one that
// says anything: its sender expects it to be read. {} is what many clients send for nothing.
func admitBody(rt route, w http.ResponseWriter, c *call) error {
	if rt.body > 0 {
		if c.ContentLength > rt.body {
			return tooLarge(rt.body)
		}
		c.Body = http.MaxBytesReader(w, c.Body, rt.body)
		return nil
	}
	if c.Body == nil || c.Body == http.NoBody || c.ContentLength == 0 {
		bodyRead(w)
		return nil
	}
	const room = 64 // for {} and some spaces
	c.Body = http.MaxBytesReader(w, c.Body, room)
	if c.ContentLength <= room && decode(w, c, &struct{}{}) == nil {
		return nil
	}
	w.Header().Set("Connection", "close") // the rest is not waited for
	return invalid("this route takes no body", "send the request without one, or {} as application/json")
}

// bodyRead takes off the deadline for reading, which was for the request: the
// server reads on only to notice that the client has gone, and would take a
// deadline for that.
func bodyRead(w http.ResponseWriter) {
	_ = http.NewResponseController(w).SetReadDeadline(time.Time{}) // a host's own writer may know none
}

func tooLarge(limit int64) *problem {
	return fail(http.StatusRequestEntityTooLarge, "too_large", fmt.Sprintf("the body has more than %d bytes", limit), "")
}

// decode reads the one JSON object that the body is into v, a pointer to a struct
// whose fields all have JSON names. An empty body leaves v as it is; the
// handler asks for the members that are not optional. Unknown, repeated and differently written
// members are refused: their sender expects an effect that they would not have.
func decode(w http.ResponseWriter, c *call, v any) error {
	if c.Body == nil {
		return nil
	}
	connOf(c.Request).work(-1)
	raw, err := io.ReadAll(c.Body) // which admitBody has bounded
	connOf(c.Request).work(1)
	var large *http.MaxBytesError
	if errors.As(err, &large) {
		return tooLarge(large.Limit)
	}
	if err != nil {
		w.Header().Set("Connection", "close")
		return invalid("the body ended before its end, or came too slowly", "")
	}
	bodyRead(w)
	if len(raw) == 0 {
		return nil
	}
	media, params, err := mime.ParseMediaType(c.Header.Get("Content-Type"))
	if err != nil || media != "application/json" || c.Header.Get("Content-Encoding") != "" ||
		params["charset"] != "" && !strings.EqualFold(params["charset"], "utf-8") {
		return fail(http.StatusUnsupportedMediaType, "unsupported_media_type", "the body is not declared as application/json",
			"send Content-Type: application/json")
	}
	return decodeObject(raw, v)
}

func decodeObject(raw []byte, v any) error {
	if !utf8.Valid(raw) {
		return invalid("the body is not UTF-8", "")
	}
	members, err := objectMembers(raw)
	if err != nil {
		return err
	}
	known := memberNames(reflect.TypeOf(v).Elem())
	for _, name := range members {
		if !slices.Contains(known, name) {
			return invalid(fmt.Sprintf("unknown member %q", brief(name)), "known are "+strings.Join(known, ", "))
		}
	}
	d := json.NewDecoder(bytes.NewReader(raw))
	d.DisallowUnknownFields() // of objects inside
	if err := d.Decode(v); err != nil {
		var kind *json.UnmarshalTypeError
		if errors.As(err, &kind) {
			return invalid(fmt.Sprintf("member %q is %s where it must be %s", brief(kind.Field), kind.Value, kind.Type), "")
		}
		return invalid("the body is not as it must be: "+brief(oneLine(err.Error())), "")
	}
	return nil
}

// objectMembers returns the names of the members of raw, which must be one JSON object and
// nothing else, each once.
func objectMembers(raw []byte) (names []string, err error) {
	d := json.NewDecoder(bytes.NewReader(raw))
	malformed := invalid("the body is not one JSON object", "")
	if t, err := d.Token(); err != nil || t != json.Delim('{') {
		return nil, malformed
	}
	for d.More() {
		t, err := d.Token()
		name, ok := t.(string)
		var value json.RawMessage
		if err != nil || !ok || d.Decode(&value) != nil {
			return nil, malformed
		}
		if slices.Contains(names, name) {
			return nil, invalid(fmt.Sprintf("member %q stands twice", brief(name)), "")
		}
		names = append(names, name)
	}
	if _, err := d.Token(); err != nil {
		return nil, malformed
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return nil, malformed
	}
	return names, nil
}

// memberNames are the JSON names of a struct's fields.
func memberNames(t reflect.Type) (names []string) {
	for i := range t.NumField() {
		name, _, _ := strings.Cut(t.Field(i).Tag.Get("json"), ",")
		if name != "" && name != "-" {
			names = append(names, name)
		}
	}
	return names
}

// brief bounds text of the caller's that is repeated in an answer.
func brief(s string) string {
	const most = 80
	if len(s) <= most {
		return s
	}
	return strings.ToValidUTF8(s[:most], "") + "…"
}
