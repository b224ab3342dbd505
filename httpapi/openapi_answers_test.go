package httpapi

import (
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// asDescribed asserts that an answer is one of those in the document, and its body
// too. path is below the API's prefix.
func asDescribed(t testing.TB, method, path string, status int, kind string, body []byte) {
	t.Helper()
	d := apiDocument()
	path, _, _ = strings.Cut(path, "?")
	for _, rt := range routes() {
		pattern := "^" + pathParameter.ReplaceAllString(rt.path, "[^/]+") + "$"
		if rt.method != method || !regexp.MustCompile(pattern).MatchString(path) {
			continue
		}
		op, _ := d.operation(rt.method, templated(rt.path))
		r, ok := op.Responses[strconv.Itoa(status)]
		if !ok {
			t.Errorf("%s %s was answered %d, which is not described: %s", method, path, status, body)
			return
		}
		kind, _, _ = strings.Cut(kind, ";")
		content := d.response(r).Content
		if len(body) == 0 && len(content) == 0 {
			return
		}
		m, ok := content[kind]
		if !ok {
			t.Errorf("%s %s: %d with %q is not described", method, path, status, kind)
			return
		}
		if !strings.HasSuffix(kind, "json") {
			return
		}
		var v any
		if err := json.Unmarshal(body, &v); err != nil {
			t.Errorf("%s %s: %v", method, path, err)
			return
		}
		if why := d.violates(m.Schema, v, "", nameOfRef(m.Schema)); why != "" {
			t.Errorf("%s %s: %s in %s", method, path, why, body)
		}
		return
	}
}

func nameOfRef(s *schema) string {
	return s.Ref[strings.LastIndex(s.Ref, "/")+1:]
}

// violates says how v is not as s wants it; "" where it is.
func (d *document) violates(s *schema, v any, at, name string) string {
	if s.Ref != "" {
		name = nameOfRef(s)
		s = d.schema(s)
	}
	if len(s.AnyOf) > 0 {
		var all []string
		for _, one := range s.AnyOf {
			why := d.violates(one, v, at, name)
			if why == "" {
				return ""
			}
			all = append(all, why)
		}
		return "none of: " + strings.Join(all, "; ")
	}
	if s.Enum != nil && !slices.Contains(s.Enum, v) || s.Const != nil && s.Const != v {
		return fmt.Sprintf("%s is %v", at, v)
	}
	kinds := d.kinds(s)
	if got := kindOfValue(v); len(kinds) > 0 && !slices.Contains(kinds, got) && (got != "integer" || !slices.Contains(kinds, "number")) {
		return fmt.Sprintf("%s is %s, not %v", at, got, kinds)
	}
	switch v := v.(type) {
	case []any:
		for i, one := range v {
			if s.Items == nil {
				break
			}
			if why := d.violates(s.Items, one, fmt.Sprintf("%s[%d]", at, i), name); why != "" {
				return why
			}
		}
	case map[string]any:
		for _, required := range s.Required {
			if _, ok := v[required]; !ok {
				return fmt.Sprintf("%s.%s is missing", at, required)
			}
		}
		for key, one := range v {
			if p := s.Properties[key]; p != nil {
				if why := d.violates(p, one, at+"."+key, name); why != "" {
					return why
				}
			} else if s.Properties != nil {
				return fmt.Sprintf("%s.%s is not described", at, key)
			}
		}
	}
	return ""
}

func kindOfValue(v any) string {
	switch v := v.(type) {
	case nil:
		return "null"
	case string:
		return "string"
	case bool:
		return "boolean"
	case float64:
		if v == float64(int64(v)) {
			return "integer"
		}
		return "number"
	case []any:
		return "array"
	}
	return "object"
}
