package sqlite

import "strings"

// QuoteName returns name as an SQL identifier. SQLite's names end at a zero byte.
func QuoteName(name string) string { return quote(name, `"`) }

// QuoteText returns s as an SQL text, up to its first zero byte.
func QuoteText(s string) string { return quote(s, `'`) }

func quote(s, mark string) string {
	s, _, _ = strings.Cut(s, "\x00")
	return mark + strings.ReplaceAll(s, mark, mark+mark) + mark
}
