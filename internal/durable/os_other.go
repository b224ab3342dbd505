//go:build !linux && !darwin && !windows

package durable

import (
	"errors"
	"os"
)

func startWriteback(*os.File, int64, int64) {}

func dropCached(*os.File) {}

func renameNew(from, to string) error { return linkNew(from, to) }

func freeSpace(string) (uint64, error) { return 0, errors.ErrUnsupported }
