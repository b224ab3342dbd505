package main

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/BurntSushi/toml"
	"github.com/alecthomas/kong"
)

// configFile is the path of a TOML file. Its keys are the long flags that
// decide how a database is protected: the global ones and those of serve. What
// a person says for one command only (--yes, --force) has no place in it.
type configFile string

// maxConfig bounds the file, in bytes.
const maxConfig = 1 << 20

// BeforeResolve reads the file and lets its values stand in for flags that were
// given neither on the command line nor by the environment.
func (configFile) BeforeResolve(ctx *kong.Context, trace *kong.Path) error {
	path, _ := ctx.FlagValue(trace.Flag).(configFile)
	if path == "" {
		return emptyArgument("--config")
	}
	values, err := readConfig(string(path))
	if err != nil {
		return err
	}
	known := settings(ctx.Model)
	for _, key := range slices.Sorted(maps.Keys(values)) {
		flag, ok := known[key]
		if !ok {
			return &usageError{fmt.Sprintf("configuration %s: unknown key %q", path, key),
				"known are " + strings.Join(slices.Sorted(maps.Keys(known)), ", ")}
		}
		if _, isText := values[key].(string); !isText && flag.Target.Type() == reflect.TypeFor[time.Duration]() {
			return &usageError{fmt.Sprintf("configuration %s: %s = %v has no unit", path, key, values[key]),
				fmt.Sprintf("write a text with one: %s = \"12h\"", key)}
		}
	}
	ctx.AddResolver(kong.ResolverFunc(func(_ *kong.Context, _ *kong.Path, flag *kong.Flag) (any, error) {
		for _, env := range flag.Envs {
			if os.Getenv(env) != "" {
				return nil, nil
			}
		}
		return values[flag.Name], nil
	}))
	return nil
}

// tables are the arrays of tables that the file may have. The commands that use one read it with readTables.
var tables = []string{"notify", "remote"}

// docsOf has the page about each of them.
var docsOf = map[string]string{"notify": "docs/alerts.md", "remote": "docs/remotes.md"}

// readConfig returns the file's values, each a string, a number or a boolean; its tables are left out.
func readConfig(path string) (map[string]any, error) {
	raw, err := readConfigFile(path)
	if err != nil {
		return nil, err
	}
	var values map[string]any
	if err := toml.Unmarshal(raw, &values); err != nil {
		return nil, malformed(path, err)
	}
	for key, v := range values {
		switch v.(type) {
		case string, bool, int64:
			continue
		case []map[string]any:
			if slices.Contains(tables, key) {
				delete(values, key)
				continue
			}
		}
		return nil, &usageError{fmt.Sprintf("configuration %s: %q is neither a text, a whole number nor a boolean", path, key),
			"write one line for each setting, for example keep-daily = 7; " + strings.Join(tables, " and ") + " are tables: [[" + tables[0] + "]]"}
	}
	return values, nil
}

// readTables returns the tables of the file that have that name. Keys that T does not know are refused.
func readTables[T any](path, name string) (all []T, err error) {
	raw, err := readConfigFile(path)
	if err != nil {
		return nil, err
	}
	var doc map[string]toml.Primitive
	meta, err := toml.Decode(string(raw), &doc)
	if err == nil && meta.IsDefined(name) {
		err = meta.PrimitiveDecode(doc[name], &all)
	}
	if err != nil {
		return nil, malformed(path, err)
	}
	for _, key := range meta.Undecoded() {
		if key[0] == name {
			return nil, &usageError{fmt.Sprintf("configuration %s: unknown key %q in [[%s]]", path, strings.Join(key[1:], "."), name), "see " + docsOf[name]}
		}
	}
	return all, nil
}

// malformed is the error for a file that cannot be parsed. Its message has the line and no value, which may be a secret.
func malformed(path string, err error) error {
	var at toml.ParseError
	if errors.As(err, &at) {
		return &usageError{fmt.Sprintf("configuration %s: line %d: %s", path, at.Position.Line, at.Message), "see https://toml.io"}
	}
	return &usageError{fmt.Sprintf("configuration %s: %v", path, err), "see https://toml.io"}
}

func readConfigFile(path string) ([]byte, error) {
	st, err := os.Stat(path)
	switch {
	case err != nil:
	case st.IsDir():
		err = fmt.Errorf("%s is a directory", path)
	case !st.Mode().IsRegular():
		err = fmt.Errorf("%s is no ordinary file", path)
	case st.Size() > maxConfig:
		err = fmt.Errorf("%s has %s; at most %s are read", path, size(st.Size()), size(maxConfig))
	}
	var raw []byte
	if err == nil {
		raw, err = os.ReadFile(path)
	}
	if err != nil {
		return nil, &usageError{fmt.Sprintf("configuration: %v", err), "name a TOML file with --config"}
	}
	return raw, nil
}

// settings are the flags whose names a configuration file may have as keys.
func settings(app *kong.Application) map[string]*kong.Flag {
	known := map[string]*kong.Flag{}
	for _, f := range app.Flags {
		if f.Name != "help" && f.Name != "config" {
			known[f.Name] = f
		}
	}
	for _, c := range app.Children {
		if c.Name == "serve" {
			for _, f := range c.Flags {
				known[f.Name] = f
			}
		}
	}
	return known
}

// values are those settings as they are in force, as texts.
func values(app *kong.Application) map[string]string {
	all := map[string]string{}
	for name, f := range settings(app) {
		all[name] = fmt.Sprint(reflect.Indirect(f.Target))
	}
	return all
}
