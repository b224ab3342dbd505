//go:build !linux

package swap

import (
	"errors"
	"os"
)

// attrsOf knows of no attributes here.
func attrsOf(*os.File) (map[string][]byte, error) { return nil, nil }

func setAttr(*os.File, string, []byte) error { return errors.ErrUnsupported }

func removeAttr(*os.File, string) error { return errors.ErrUnsupported }
