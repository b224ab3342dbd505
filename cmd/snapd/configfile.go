package main

import (
	"fmt"
	"os"
	"slices"
	"strings"

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
	values, err := readConfig(string(path))
	if err != nil {
		return err
	}
	known := settings(ctx.Model)
	for key := range values {
		if !slices.Contains(known, key) {
			return &usageError{fmt.Sprintf("configuration %s: unknown key %q", path, key),
				"known are " + strings.Join(known, ", ")}
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
	if err == nil && (!st.Mode().IsRegular() || st.Size() > maxConfig) {
		err = fmt.Errorf("%s is not a file of at most %d bytes", path, maxConfig)
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
			return nil, &usageError{fmt.Sprintf("configuration %s: %q is neither a text, a whole number nor a boolean", path, key), ""}
		}
	}
	return values, nil
}

// settings are the keys that a configuration file may have.
func settings(app *kong.Application) []string {
	var names []string
	for _, f := range app.Flags {
		if f.Name != "help" && f.Name != "config" {
			names = append(names, f.Name)
		}
	}
	for _, c := range app.Children {
		if c.Name == "serve" {
			for _, f := range c.Flags {
				names = append(names, f.Name)
			}
		}
	}
	slices.Sort(names)
	return names
}
