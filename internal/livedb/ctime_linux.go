package livedb

import (
	"io/fs"
	"syscall"
	"time"
)

// changeTime returns the inode's change time in Unix nanoseconds: unlike the
// modification time, no program can set it back.
func changeTime(fi fs.FileInfo) int64 {
	st, ok := fi.Sys().(*syscall.Stat_t)
	if !ok {
		return 0
	}
	return time.Unix(st.Ctim.Unix()).UnixNano()
}
