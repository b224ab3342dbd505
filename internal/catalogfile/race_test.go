//go:build race

package catalogfile

// The race detector makes sync.Pool forget at random, and encoding/json takes its scanners from one.
func init() { forgetful = true }
