//go:build !linux

package testdb

import "errors"

// memoryDir makes a directory in memory.
func memoryDir() (string, error) { return "", errors.ErrUnsupported }
