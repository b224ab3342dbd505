package catalogfile

import "io/fs"

// ownerOf is not asked here: rights come from access lists.
func ownerOf(fs.FileInfo) (uid int, known bool) { return 0, false }
