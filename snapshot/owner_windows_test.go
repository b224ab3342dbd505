package snapshot_test

import "testing"

func ownerOf(*testing.T, string) (uid, gid uint32, ok bool) { return 0, 0, false }
