//go:build !linux

package main

import (
	"errors"
	"os"
)

func evict(*os.File) error {
	return errors.New("-cold: only Linux can take a file out of the page cache")
}
