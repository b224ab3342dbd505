package store

import (
	"fmt"
	"strings"
)

// CheckName reports why name cannot be an object's name, or nil. A name has 1 to [MaxName] bytes: elements of ASCII letters,
// digits and "._-", each of at most [MaxElement] bytes, with "/" between them; none begins or ends with a dot. Every store and
// every file system takes such names as they are, and has room for a temporary name next to one.
func CheckName(name string) error {
	if name == "" || len(name) > MaxName {
		return fmt.Errorf("object name %.64q: %d bytes, 1 to %d are allowed", name, len(name), MaxName)
	}
	for element := range strings.SplitSeq(name, "/") {
		if element == "" || element[0] == '.' || element[len(element)-1] == '.' {
			return fmt.Errorf("object name %.64q: an element is empty, or begins or ends with a dot", name)
		}
		if len(element) > MaxElement {
			return fmt.Errorf("object name %.64q: an element has %d bytes, %d are allowed", name, len(element), MaxElement)
		}
		for i := range len(element) {
			switch c := element[i]; {
			case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9', c == '.', c == '_', c == '-':
			default:
				return fmt.Errorf("object name %.64q: %q is not a letter, a digit or one of ._-", name, c)
			}
		}
	}
	return nil
}

// CheckPut reports why an object of this name and size cannot be stored, or nil.
func CheckPut(name string, size int64) error {
	if err := CheckName(name); err != nil {
		return err
	}
	if size < 0 {
		return fmt.Errorf("put %s: a size of %d bytes", name, size)
	}
	return nil
}

// CheckGet reports why an object of this name cannot be read from off, or nil.
func CheckGet(name string, off int64) error {
	if err := CheckName(name); err != nil {
		return err
	}
	if off < 0 {
		return fmt.Errorf("get %s: an offset of %d", name, off)
	}
	return nil
}
