package store

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strings"
)

// MarkerName is the file with the id of a place that is a directory. No object can have this name.
const MarkerName = ".snapd-store"

// maxMarker bounds what is read of it.
const maxMarker = 128

// Why a directory is not the place. Both are [ErrGone].
var (
	ErrUnmarked     = fmt.Errorf("%w: it has no %s, which it had when it was last used: is the disk mounted?", ErrGone, MarkerName)
	ErrAnotherPlace = fmt.Errorf("%w: its %s is that of another place: is another disk mounted there?", ErrGone, MarkerName)
)

// NewMarker is what a new marker file holds.
func NewMarker() string {
	var random [16]byte
	rand.Read(random[:]) // never fails, by its documentation
	return hex.EncodeToString(random[:]) + "\n"
}

// ReadMarker returns the id of a place from its marker file and what opening that returned. Missing, it is [ErrUnmarked].
func ReadMarker(f io.ReadCloser, err error) (id string, _ error) {
	if errors.Is(err, fs.ErrNotExist) {
		return "", ErrUnmarked
	}
	if err != nil {
		return "", err
	}
	text, err := io.ReadAll(io.LimitReader(f, maxMarker))
	if err := errors.Join(err, f.Close()); err != nil {
		return "", err
	}
	if id = strings.TrimSpace(string(text)); id == "" {
		return "", ErrAnotherPlace
	}
	return id, nil
}
