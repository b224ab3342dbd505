package store

import (
	"fmt"
	"strings"
)

// CheckName reports why name cannot be an object's name, or nil. A name has 1 to [MaxName] bytes: elements of ASCII letters,
// digits and "._-", with "/" between them; no element begins with a dot. Every store and every file system takes such
// names as they are.
func CheckName(name string) error {
	if name == "" || len(name) > MaxName {
		return fmt.Errorf("object name %.64q: %d bytes, 1 to %d are allowed", name, len(name), MaxName)
	}
	for element := range strings.SplitSeq(name, "/") {
		if element == "" || element[0] == '.' {
			return fmt.Errorf("object name %.64q: an element is empty or begins with a dot", name)
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
