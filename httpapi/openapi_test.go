package httpapi

import (
	"encoding/json"
	"fmt"
	"net/http"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"example.com/snapd/catalog"
	"example.com/snapd/integrity"
	"example.com/snapd/snapshot"
)

// document is the part of OpenAPI 3.1 that is used here.
type document struct {
	OpenAPI    string
	Paths      map[string]map[string]json.RawMessage
	Components struct {
		Schemas    map[string]*schema
		Responses  map[string]response
		Parameters map[string]parameter
	}
}

type described struct {
	OperationID string             `json:"operationId"`
	Right       *Right             `json:"x-right"`
	Security    *[]json.RawMessage `json:"security"`
	Parameters  []parameter
	Body        *struct{ Content map[string]media } `json:"requestBody"`
	Responses   map[string]response
}

type parameter struct {
	Ref      string `json:"$ref"`
	Name, In string
}

type response struct {
	Ref     string `json:"$ref"`
	Content map[string]media
}

type media struct {
	Schema *schema
	Events map[string]*schema `json:"x-events"`
}

type schema struct {
	Ref        string `json:"$ref"`
	Type       any
	Properties map[string]*schema
	Required   []string
	Closed     *bool `json:"additionalProperties"`
	Items      *schema
	Enum       []any
	Const      any
	AnyOf      []*schema
}

// apiDocument is the document as it is embedded.
var apiDocument = sync.OnceValue(func() *document {
	d := &document{}
	if err := json.Unmarshal([]byte(openapi), d); err != nil {
		panic(err)
	}
	return d
})

func (d *document) operation(method, path string) (described, bool) {
	raw, ok := d.Paths[path][strings.ToLower(method)]
	var op described
	if ok {
		if err := json.Unmarshal(raw, &op); err != nil {
			panic(fmt.Sprintf("%s %s: %v", method, path, err))
		}
	}
	return op, ok
}

func (d *document) schema(s *schema) *schema {
	if s != nil && s.Ref != "" {
		return d.Components.Schemas[strings.TrimPrefix(s.Ref, "#/components/schemas/")]
	}
	return s
}

func (d *document) response(r response) response {
	if r.Ref != "" {
		return d.Components.Responses[strings.TrimPrefix(r.Ref, "#/components/responses/")]
	}
	return r
}

var pathParameter = regexp.MustCompile(`:([a-z]+)`)

// templated is the path as OpenAPI writes it.
func templated(path string) string { return pathParameter.ReplaceAllString(path, "{$1}") }

// If this fails, the document promises what there is not, or hides what there is.
func TestOpenAPIHasEveryRoute(t *testing.T) {
	d := apiDocument()
	if d.OpenAPI != "3.1.0" {
		t.Errorf("openapi %q", d.OpenAPI)
	}
	known := map[string]bool{}
	ids := map[string]bool{}
	for _, rt := range routes() {
		name := rt.method + " " + templated(rt.path)
		known[name] = true
		op, ok := d.operation(rt.method, templated(rt.path))
		if !ok {
			t.Errorf("%s is not described", name)
			continue
		}
		if op.OperationID == "" || ids[op.OperationID] {
			t.Errorf("%s: operationId %q is missing or used twice", name, op.OperationID)
		}
		ids[op.OperationID] = true
		if op.Right == nil {
			t.Errorf("%s has no x-right", name)
		} else if *op.Right != rt.right {
			t.Errorf("%s needs the right %q, described is %q", name, rt.right, *op.Right)
		}
		if rt.right != "" && op.Security != nil {
			t.Errorf("%s needs a right, and is described as open", name)
		}
		if (op.Body != nil) != (rt.body > 0) {
			t.Errorf("%s: a body is taken: %v, described: %v", name, rt.body > 0, op.Body != nil)
		}
		if _, ok := d.Paths[templated(rt.path)]["servers"]; ok != rt.root {
			t.Errorf("%s is at the root: %v, described: %v", name, rt.root, ok)
		}
		for _, one := range pathParameter.FindAllStringSubmatch(rt.path, -1) {
			if !slices.ContainsFunc(op.Parameters, func(p parameter) bool {
				if p.Ref != "" {
					p = d.Components.Parameters[strings.TrimPrefix(p.Ref, "#/components/parameters/")]
				}
				return p.In == "path" && p.Name == one[1]
			}) {
				t.Errorf("%s: the parameter %s is not described", name, one[1])
			}
		}
		wantStatuses(t, name, rt, op)
	}
	for path, methods := range d.Paths {
		for method := range methods {
			if name := strings.ToUpper(method) + " " + path; method != "servers" && !known[name] {
				t.Errorf("%s is described, and there is no such route", name)
			}
		}
	}
}

// wantStatuses asserts the statuses that a route has by its entry in the table.
func wantStatuses(t *testing.T, name string, rt route, op described) {
	t.Helper()
	all := []int{503}
	if rt.right != "" {
		all = append(all, 401, 403, 429, 500)
	}
	if rt.method != http.MethodGet {
		all = append(all, 403)
	}
	if rt.body > 0 {
		all = append(all, 413, 415)
	}
	if strings.Contains(rt.path, ":") {
		all = append(all, 404)
	}
	for _, status := range append(all, 422) {
		if _, ok := op.Responses[strconv.Itoa(status)]; !ok {
			t.Errorf("%s can be answered %d, which is not described", name, status)
		}
	}
}

// If this fails, generators and readers of the document meet loose ends.
func TestOpenAPIReferences(t *testing.T) {
	used := map[string]bool{}
	for _, m := range regexp.MustCompile(`"\$ref": *"#/components/([a-z]+)/([A-Za-z]+)"`).FindAllStringSubmatch(openapi, -1) {
		used[m[1]+"/"+m[2]] = true
	}
	var doc struct {
		Components map[string]map[string]json.RawMessage
	}
	if err := json.Unmarshal([]byte(openapi), &doc); err != nil {
		t.Fatal(err)
	}
	for ref := range used {
		kind, name, _ := strings.Cut(ref, "/")
		if doc.Components[kind][name] == nil {
			t.Errorf("%s is used, and there is none", ref)
		}
	}
	for kind, all := range doc.Components {
		for name := range all {
			if kind != "securitySchemes" && !used[kind+"/"+name] {
				t.Errorf("%s/%s is never used", kind, name)
			}
		}
	}
}

// types are the Go types behind the schemas.
var types = map[string]any{
	"Problem": problem{}, "Session": sessionDocument{}, "Backup": backupView{}, "Backups": backupPage{}, "Verification": catalog.Verification{}, "Copy": catalog.Copy{},
	"CreateRequest": createRequest{}, "PatchRequest": patchRequest{}, "LevelRequest": levelRequest{}, "LoginRequest": loginRequest{},
	"RowsPlan": rowsPlanView{}, "RowsPlanDocument": rowsPlanDocument{}, "RowsPlanRequest": rowsPlanRequest{}, "RowsRequest": rowsRequest{},
	"RestoredRows": snapshot.RestoredRows{}, "RowsConflict": snapshot.RowsConflict{}, "TableRows": snapshot.TableRows{},
	"Plan": planView{}, "PlanDocument": planDocument{}, "RestoreRequest": restoreRequest{}, "RestoreResult": snapshot.RestoreResult{},
	"DrillOutcome": catalog.DrillOutcome{}, "Stored": snapshot.Stored{}, "Outcome": catalog.Outcome{}, "QueryRequest": queryRequest{}, "Rows": snapshot.QueryResult{}, "Diff": snapshot.DiffResult{}, "SchemaChange": snapshot.SchemaChange{}, "TableChanges": snapshot.TableChanges{}, "RowChange": snapshot.RowChange{}, "Table": snapshot.Table{}, "Tables": tableDocument{}, "Finding": integrity.Finding{}, "Report": integrity.Report{},
	"Operation": operation{}, "OperationError": operationError{}, "OperationDocument": operationDocument{}, "Operations": operationPage{},
	"Status": snapshot.Status{}, "DatabaseStatus": snapshot.DatabaseStatus{}, "Schedule": snapshot.Schedule{}, "LastRestore": snapshot.LastRestore{}, "Recovered": snapshot.Recovered{}, "Acknowledged": acknowledgedDocument{}, "RecoveryPlan": snapshot.RecoveryPlan{}, "RecoveryOption": snapshot.RecoveryOption{}, "RecoveryRoom": snapshot.RecoveryRoom{},
	"Break": snapshot.Break{}, "Accepted": acceptedDocument{}, "Timeline": snapshot.Timeline{},
	"Quarantine": snapshot.Quarantine{}, "Receiver": snapshot.ReceiverStatus{}, "RowCount": snapshot.RowCount{}, "Quarantines": quarantineList{}, "Remotes": remoteList{},
	"Point": snapshot.Point{}, "Points": pointPage{}, "Density": density{}, "Gap": pointGap{}, "Runs": runPage{}, "Run": pointRun{}, "Nearest": nearest{}, "Lost": lost{}, "Log": logPage{}, "LogEntry": snapshot.LogEntry{}, "Captured": captured{}, "Continuous": snapshot.Continuous{}, "Remote": snapshot.RemoteStatus{},
	"Stats": snapshot.Stats{}, "Day": snapshot.Day{}, "History": historyDocument{}, "Decision": snapshot.Decision{}, "Decisions": decisionDocument{},
	"Activity": snapshot.Activity{}, "ActivityPage": activityPage{}, "Hello": hello{}, "Change": change{}, "Bye": bye{},
}

// If this fails, a member was added, renamed or made optional, and the document
// does not know.
func TestOpenAPISchemasAreTheTypes(t *testing.T) {
	d := apiDocument()
	for name, s := range d.Components.Schemas {
		v, ok := types[name]
		if !ok {
			if s.Properties != nil {
				t.Errorf("the schema %s belongs to no type", name)
			}
			continue
		}
		fields := map[string]bool{}
		for _, f := range jsonFields(reflect.TypeOf(v)) {
			fields[f.name] = true
			p := s.Properties[f.name]
			if p == nil {
				t.Errorf("%s.%s is not described", name, f.name)
				continue
			}
			if strings.HasSuffix(name, "Request") {
				if s.Closed == nil || *s.Closed {
					t.Errorf("%s does not say that unknown members are refused", name)
				}
				continue
			}
			if required := slices.Contains(s.Required, f.name); required == f.optional {
				t.Errorf("%s.%s: always there is %v, described as required is %v", name, f.name, !f.optional, required)
			}
			if got := d.kinds(p); !slices.Contains(got, f.kind) && len(got) > 0 {
				t.Errorf("%s.%s is %s, described as %v", name, f.name, f.kind, got)
			} else if slices.Contains(got, "null") != f.null && f.name != "result" {
				t.Errorf("%s.%s can be null: %v, described: %v", name, f.name, f.null, got)
			}
		}
		for property := range s.Properties {
			if !fields[property] {
				t.Errorf("%s.%s is described, and there is no such member", name, property)
			}
		}
	}
	for name := range types {
		if d.Components.Schemas[name] == nil {
			t.Errorf("the type %s has no schema", name)
		}
	}
}

type jsonField struct {
	name, kind     string
	optional, null bool
}

// jsonFields are a struct's members as encoding/json writes them.
func jsonFields(t reflect.Type) (all []jsonField) {
	for i := range t.NumField() {
		f := t.Field(i)
		name, options, _ := strings.Cut(f.Tag.Get("json"), ",")
		if f.Anonymous && name == "" {
			all = append(all, jsonFields(f.Type)...)
			continue
		}
		if !f.IsExported() || name == "-" || name == "source" { // which Backup.Public takes away
			continue
		}
		one := jsonField{name: name, optional: strings.Contains(options, "omitempty"), null: (f.Type.Kind() == reflect.Pointer || f.Type == reflect.TypeFor[snapshot.RowFields]()) && !strings.Contains(options, "omitempty")}
		of := f.Type
		if of.Kind() == reflect.Pointer {
			of = of.Elem()
		}
		one.kind = kindOf(of)
		all = append(all, one)
	}
	return all
}

func kindOf(t reflect.Type) string {
	if t == reflect.TypeFor[json.RawMessage]() || t == reflect.TypeFor[snapshot.RowFields]() {
		return "object"
	}
	if _, text := reflect.New(t).Interface().(interface{ MarshalText() ([]byte, error) }); text {
		return "string"
	}
	switch t.Kind() {
	case reflect.String:
		return "string"
	case reflect.Bool:
		return "boolean"
	case reflect.Float64:
		return "number"
	case reflect.Slice:
		return "array"
	case reflect.Struct:
		return "object"
	}
	return "integer"
}

// kinds are the JSON types that a schema allows.
func (d *document) kinds(s *schema) (all []string) {
	s = d.schema(s)
	switch t := s.Type.(type) {
	case string:
		return []string{t}
	case []any:
		for _, one := range t {
			all = append(all, one.(string))
		}
	}
	for _, one := range s.AnyOf {
		all = append(all, d.kinds(one)...)
	}
	return all
}

// If this fails, the document is not what a client gets, or its addresses lead
// elsewhere.
func TestOpenAPIIsServed(t *testing.T) {
	for _, o := range []Options{{}, {APIPrefix: "/"}, {APIPrefix: "/a/b/c"}} {
		c := newChain(t, openapiRoutes(), o)
		w := c.do("GET", c.o.APIPrefix+openapiPath, "", "anonymous")
		want(t, w, 200, "")
		var doc struct {
			Paths      map[string]struct{ Servers []struct{ URL string } }
			Components struct {
				Schemes map[string]struct{ Name string } `json:"securitySchemes"`
			}
		}
		if err := json.Unmarshal(w.Body.Bytes(), &doc); err != nil || w.Header().Get("Content-Type") != "application/json" {
			t.Fatal(err)
		}
		base := "http://snapd.test/outer" + c.o.APIPrefix + openapiPath
		if got := resolve(t, base, doc.Paths["/healthz"].Servers[0].URL+"/healthz"); got != "http://snapd.test/outer/healthz" {
			t.Errorf("below %q the root is taken for %s", c.o.APIPrefix, got)
		}
		if got := doc.Components.Schemes["session"].Name; got != c.auth.CookieName() {
			t.Errorf("the cookie is called %q", got)
		}
		if strings.Contains(w.Body.String(), rootMark) {
			t.Error("a mark was left")
		}
		want(t, c.do("GET", c.o.APIPrefix+openapiPath, "", "anonymous", "If-None-Match: "+w.Header().Get("ETag")), 304, "")
	}
}
