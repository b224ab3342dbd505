package trust

import (
	"os"
	"sync/atomic"
)

// acting is the user of [ActAs], plus one; 0: none.
var acting atomic.Int64

// User returns the user whose rights to files this process has: that of [ActAs], else its own.
func User() int {
	if uid := acting.Load(); uid > 0 {
		return int(uid - 1)
	}
	return os.Geteuid()
}
