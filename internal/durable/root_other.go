//go:build !linux

package durable

import (
	"errors"
	"os"
)

// renameNewIn: a hard link does it here.
func renameNewIn(*os.Root, string, string) error { return errors.ErrUnsupported }
