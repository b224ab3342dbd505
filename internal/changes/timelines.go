package changes

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strconv"
)

// Folder is the name of the directory of all change logs in a backup directory.
const Folder = "changes"

// Timelines lists the timelines that have a log in a directory of theirs below dir, in order.
func Timelines(dir string) (list []uint64, err error) {
	entries, err := os.ReadDir(dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("list the change logs: %w", err)
	}
	for _, e := range entries {
		n, err := strconv.ParseUint(e.Name(), 10, 63)
		if err == nil && n > 0 && e.IsDir() && strconv.FormatUint(n, 10) == e.Name() {
			list = append(list, n)
		}
	}
	slices.Sort(list)
	return list, nil
}
