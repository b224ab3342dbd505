package activity

import (
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"slices"
)

// After returns the records behind a position, the oldest first, to which wanted says yes, and the position behind the
// last one; "" is the beginning. Where some of them are gone, because two logs have been filled since, it returns those
// that there are. A line without an end is left to the next call. Errors: ErrCursor, durable.ErrNotRegular, and those of reading.
func (l *Log) After(position string, wanted func(Record) bool) (records []Record, next string, err error) {
	files, err := l.files()
	if err != nil {
		return nil, "", fmt.Errorf("activity log: %w", err)
	}
	defer func() {
		for _, f := range files {
			err = errors.Join(err, f.Close())
		}
	}()
	generation, from, err := parsePosition(position)
	if err != nil {
		return nil, "", err
	}
	known := slices.IndexFunc(files, func(f *file) bool { return position != "" && f.generation == generation })
	for i, f := range files {
		floor := max(0, f.end-maxScan)
		if i == known {
			floor = max(floor, min(from, f.end)-1) // the end of the line before is needed to see that one begins
		}
		b := newBackward(f, f.end, floor)
		_, end, err := b.next() // what is behind the last end of a line: nothing, or a torn one
		if next == "" && end > 0 {
			next = f.cursor(end)
		}
		for err == nil {
			var line []byte
			if line, _, err = b.next(); err == nil {
				if r, ok := parse(line); ok && wanted(r) {
					records = append(records, r)
				}
			}
		}
		if !errors.Is(err, io.EOF) {
			return nil, "", fmt.Errorf("activity log: %w", err)
		}
		if i == known {
			break
		}
	}
	slices.Reverse(records)
	return records, next, nil
}

// parsePosition takes a cursor apart: the generation of a log, and an offset in it.
func parsePosition(position string) (generation uint64, at int64, err error) {
	if position == "" {
		return 0, 0, nil
	}
	raw, err := base64.RawURLEncoding.Strict().DecodeString(position)
	if err != nil || len(raw) != 16 {
		return 0, 0, fmt.Errorf("%w: %.80q; start again without one", ErrCursor, position)
	}
	generation, at = binary.BigEndian.Uint64(raw), int64(binary.BigEndian.Uint64(raw[8:]))
	if at < 0 {
		return 0, 0, fmt.Errorf("%w: %.80q; start again without one", ErrCursor, position)
	}
	return generation, at, nil
}
