package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"os/exec"
	"slices"
	"strconv"
	"strings"

	"github.com/rogpeppe/go-internal/testscript"
)

// exits runs snapd and wants an exit status: exits N ARG…. It also
// holds the output of every command to the contract: see outputs.
func exits(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 1 {
		ts.Fatalf("usage: exits N ARG…")
	}
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	err = ts.Exec("snapd", args[1:]...)
	got := 0
	var failed *exec.ExitError
	if errors.As(err, &failed) {
		got = failed.ExitCode()
	} else {
		ts.Check(err)
	}
	if got != want {
		ts.Fatalf("snapd %s: exit status %d, want %d", strings.Join(args[1:], " "), got, want)
	}
	outputs(ts, args[1:], got, ts.ReadFile("stdout"), ts.ReadFile("stderr"))
}

// speakers print their document although their exit status is not 0.
var speakers = []string{"check", "status", "verify", "recover", "drill", "notify", "tables"}

// outputs fails the script unless standard output holds one JSON document or
// nothing, and a failure is one line on standard error.
func outputs(ts *testscript.TestScript, args []string, status int, stdout, stderr string) {
	asJSON := slices.Contains(args, "--json")
	says := stdout != "" && (status == exitDone || slices.ContainsFunc(speakers, func(s string) bool { return slices.Contains(args, s) }))
	if stdout != "" && status == exitUsage {
		ts.Fatalf("a usage error printed on standard output:\n%s", stdout)
	}
	if asJSON && says {
		oneDocument(ts, stdout)
	}
	if asJSON && !says && (status == exitDone || stdout != "") {
		ts.Fatalf("status %d with this on standard output:\n%s", status, stdout)
	}
	if status == exitDone || says {
		return
	}
	lines := strings.Split(strings.TrimSuffix(stderr, "\n"), "\n")
	last := lines[len(lines)-1]
	if !asJSON {
		if !strings.HasPrefix(last, "snapd: ") {
			ts.Fatalf("the last line of standard error is not the error: %q", last)
		}
		return
	}
	var doc map[string]map[string]string
	if err := json.Unmarshal([]byte(last), &doc); err != nil {
		ts.Fatalf("the last line of standard error is no error document: %v", err)
	}
	for _, key := range []string{"code", "message", "hint"} {
		if _, ok := doc["error"][key]; !ok || len(doc) != 1 || len(doc["error"]) != 3 {
			ts.Fatalf("want exactly {error:{code,message,hint}}, got %s", last)
		}
	}
	if doc["error"]["hint"] == "" {
		ts.Fatalf("an error that does not say what to do: %s", last)
	}
}

func oneDocument(ts *testscript.TestScript, text string) any {
	dec := json.NewDecoder(strings.NewReader(text))
	dec.UseNumber()
	var doc any
	if err := dec.Decode(&doc); err != nil {
		ts.Fatalf("not JSON: %v\n%s", err, text)
	}
	if _, err := dec.Token(); err != io.EOF {
		ts.Fatalf("more than one document:\n%s", text)
	}
	return doc
}

// jsonCmd looks into a JSON document:
//
//	json FILE PATH == VALUE    as text; null, true and numbers as JSON has them
//	json FILE PATH keys a,b,c  exactly these keys, in any order
//	json FILE PATH len N
//	json FILE PATH has TEXT    contains it
//	json FILE PATH set VAR     into an environment variable
//
// FILE may be stdout or stderr (its last line); PATH is like .backups.0.id.
func jsonCmd(ts *testscript.TestScript, neg bool, args []string) {
	if len(args) != 4 {
		ts.Fatalf("usage: json FILE PATH ==|keys|len|has|set VALUE")
	}
	text := ts.ReadFile(args[0])
	if args[0] == "stderr" {
		text = text[strings.LastIndexByte(strings.TrimSuffix(text, "\n"), '\n')+1:]
	}
	v := lookup(ts, oneDocument(ts, text), args[1])
	ok := true
	switch args[2] {
	case "==":
		ok = jsonText(v) == args[3]
	case "has":
		ok = strings.Contains(jsonText(v), args[3])
	case "len":
		list, isList := v.([]any)
		ok = isList && strconv.Itoa(len(list)) == args[3]
	case "keys":
		object, isObject := v.(map[string]any)
		var have []string
		for k := range object {
			have = append(have, k)
		}
		want := strings.Split(args[3], ",")
		slices.Sort(have)
		slices.Sort(want)
		ok = isObject && slices.Equal(have, want)
	case "set":
		ts.Setenv(args[3], jsonText(v))
	default:
		ts.Fatalf("json: unknown operation %q", args[2])
	}
	if ok == neg {
		ts.Fatalf("json %s: have %s", strings.Join(args, " "), jsonText(v))
	}
}

func lookup(ts *testscript.TestScript, v any, path string) any {
	for _, key := range strings.FieldsFunc(path, func(r rune) bool { return r == '.' }) {
		switch at := v.(type) {
		case map[string]any:
			inner, ok := at[key]
			if !ok {
				ts.Fatalf("json: no %q in %s", key, jsonText(v))
			}
			v = inner
		case []any:
			i, err := strconv.Atoi(key)
			if err != nil || i < 0 || i >= len(at) {
				ts.Fatalf("json: no element %q of %d", key, len(at))
			}
			v = at[i]
		default:
			ts.Fatalf("json: %q looked for in %s", key, jsonText(v))
		}
	}
	return v
}

// jsonText is a text without its quotes, and everything else as JSON.
func jsonText(v any) string {
	if s, ok := v.(string); ok {
		return s
	}
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return err.Error()
	}
	return strings.TrimSpace(b.String())
}
