package main

import (
	"fmt"
	"reflect"

	"github.com/alecthomas/kong"
)

// rawText reads texts as they were given. The parser's own way replaces what is no
// UTF-8, and file names need not be: the command would go to a file of another name.
var rawText = kong.KindMapper(reflect.String, kong.MapperFunc(func(ctx *kong.DecodeContext, target reflect.Value) error {
	t, err := ctx.Scan.PopValue("string")
	if err != nil {
		return err
	}
	s, ok := t.Value.(string)
	if !ok {
		return fmt.Errorf("expected a text, not %v", t.Value)
	}
	target.SetString(s)
	return nil
}))
