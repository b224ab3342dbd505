package main

import (
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
// settle how a database is protected: the global ones and those of serve. What
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

// readConfig returns the file's values, each a string, a number or a boolean.
func readConfig(path string) (map[string]any, error) {
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
	var values map[string]any
	if err := toml.Unmarshal(raw, &values); err != nil {
		return nil, &usageError{fmt.Sprintf("configuration %s: %v", path, err), "see https://toml.io"}
	}
	for key, v := range values {
		switch v.(type) {
		case string, bool, int64:
		default:
			return nil, &usageError{fmt.Sprintf("configuration %s: %q is neither a text, a whole number nor a boolean", path, key),
				"write one line for each setting, for example keep-daily = 7"}
		}
	}
	return values, nil
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
