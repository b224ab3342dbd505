//go:build race

package catalog

// The race detector has sync.Pool forget at random, of which encoding/json has its scanners.
func init() { forgetful = true }
