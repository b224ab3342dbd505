// Package lint holds the rules of the house as tests, so that go test ./... keeps
// them: which package may import which, what only one place may do, file sizes, and that
// what the guides for maintainers name exists.
// What needs a program of its own (staticcheck, go vet, tidiness, other
// platforms) is in the Makefile.
package lint
