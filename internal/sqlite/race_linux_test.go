//go:build race

package sqlite

// The race detector keeps a shadow of all memory, and allocates otherwise.
func init() { shadowed = true }
