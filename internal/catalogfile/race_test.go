//go:build race

package catalogfile

// The race detector has sync.Pool forget at random, of which encoding/json has its scanners.
func init() { forgetful = true }
