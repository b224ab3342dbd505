package main

import (
	"go/ast"
	"go/parser"
	"go/token"
	"slices"
	"strconv"
	"testing"

	"example.com/snapd/integrity"
)

// The finding that a line names as the reason must be one: that of a code which
// package integrity counts as a remark, or as a lesser matter than the verdict, is not.
func TestCheckKnowsTheWeightOfEveryCode(t *testing.T) {
	file, err := parser.ParseFile(token.NewFileSet(), "../../integrity/codes.go", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	value := map[string]integrity.Code{}
	want := map[string][]integrity.Code{}
	ast.Inspect(file, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.ValueSpec:
			if typ, ok := n.Type.(*ast.Ident); ok && typ.Name == "Code" {
				s, err := strconv.Unquote(n.Values[0].(*ast.BasicLit).Value)
				if err != nil {
					t.Fatal(err)
				}
				value[n.Names[0].Name] = integrity.Code(s)
			}
		case *ast.KeyValueExpr: // CodeX: {gravity: remark}
			of, isCode := n.Key.(*ast.Ident)
			fields, isKind := n.Value.(*ast.CompositeLit)
			if isCode && isKind && len(fields.Elts) > 0 {
				weight := fields.Elts[0].(*ast.KeyValueExpr).Value.(*ast.Ident).Name
				want[weight] = append(want[weight], value[of.Name])
			}
		}
		return true
	})
	if len(value) < 40 || len(want["remark"]) == 0 || len(want["violation"]) == 0 {
		t.Fatalf("codes.go has another form: %d codes, %v", len(value), want)
	}
	for _, tc := range []struct {
		name       string
		have, want []integrity.Code
	}{{"remarks", remarks, want["remark"]}, {"violations", violations, want["violation"]}} {
		slices.Sort(tc.want)
		if have := slices.Sorted(slices.Values(tc.have)); !slices.Equal(have, tc.want) {
			t.Errorf("%s are %v, want %v", tc.name, have, tc.want)
		}
	}
}
