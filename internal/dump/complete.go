package dump

import "strings"

// A schema is data: the SQL in it may have been made to run as several statements in the shell that reads a script, or
// as a command of that shell. OneCreate goes by the rules with which SQLite itself (sqlite3_complete) and its shell
// find the end of a statement.

// tokens of a statement.
const (
	tokenSemicolon = iota
	tokenSpace
	tokenOther
	tokenExplain
	tokenCreate
	tokenTemp
	tokenTrigger
	tokenEnd
)

// stateStart is where a statement is complete.
const stateStart = 1

// completion is the next state by state and token: a trigger ends at ";END;", anything else at ";".
var completion = [8][8]uint8{
	//    ;  ␣  other  explain  create  temp  trigger  end
	0: {1, 0, 2, 3, 4, 2, 2, 2}, // nothing yet
	1: {1, 1, 2, 3, 4, 2, 2, 2}, // start
	2: {1, 2, 2, 2, 2, 2, 2, 2}, // in a statement
	3: {1, 3, 3, 2, 4, 2, 2, 2}, // EXPLAIN
	4: {1, 4, 2, 2, 2, 4, 5, 2}, // CREATE [TEMP]
	5: {6, 5, 5, 5, 5, 5, 5, 5}, // CREATE TRIGGER …
	6: {6, 6, 5, 5, 5, 5, 5, 7}, // … ;
	7: {1, 7, 5, 5, 5, 5, 5, 5}, // … ; END
}

// OneCreate reports whether sql, without its last semicolon, is one statement that begins with CREATE.
func OneCreate(sql string) bool {
	if len(sql) < 6 || !strings.EqualFold(sql[:6], "create") || strings.ContainsRune(sql, 0) {
		return false
	}
	state := uint8(0)
	for len(sql) > 0 {
		token, n := nextToken(sql)
		if n == 0 {
			return false // it has no end
		}
		sql = sql[n:]
		if state = completion[state][token]; state == stateStart {
			return strings.TrimSpace(sql) == ""
		}
	}
	return completion[state][tokenSemicolon] == stateStart
}

// Statement is sql, which is OneCreate, as a statement of a script: what is after its first line may be a command of the shell that reads
// the script. A line of "/" or "go" alone ends a statement there, and the next one may then begin with a dot: it gets an empty
// comment, which changes nothing.
func Statement(sql string) string {
	sql = strings.TrimSuffix(strings.TrimSpace(sql), ";")
	end := ";"
	if strings.Contains(sql, "--") {
		end = "\n;" // not in a comment
	}
	var b strings.Builder
	for rest := sql; len(rest) > 0; {
		_, n := nextToken(rest)
		if n == 0 {
			n = len(rest)
		}
		b.WriteString(rest[:n])
		if rest[n-1] == '\n' && endsForShell(rest[n:]) { // of a space or a comment
			b.WriteString("/**/")
		}
		rest = rest[n:]
	}
	return b.String() + end
}

// endsForShell reports whether the shell takes the first line of sql for the end of the statement before.
func endsForShell(sql string) bool {
	line, _, _ := strings.Cut(strings.TrimLeft(sql, " \t\r\f\v"), "\n")
	switch {
	case strings.HasPrefix(line, "/"):
		line = line[1:]
	case len(line) >= 2 && strings.EqualFold(line[:2], "go"):
		line = line[2:]
	default:
		return false
	}
	line = strings.TrimSpace(line)
	return line == "" || strings.HasPrefix(line, "--") || strings.HasPrefix(line, "/*")
}

// nextToken returns the first token of sql and its length, 0 where it does not end.
func nextToken(sql string) (token, n int) {
	until := func(end string, from int) int {
		i := strings.Index(sql[from:], end)
		if i < 0 {
			return 0
		}
		return from + i + len(end)
	}
	switch c := sql[0]; {
	case c == ';':
		return tokenSemicolon, 1
	case strings.IndexByte(" \t\r\n\f", c) >= 0:
		return tokenSpace, 1
	case strings.HasPrefix(sql, "/*"):
		return tokenSpace, until("*/", 2)
	case strings.HasPrefix(sql, "--"):
		if !strings.Contains(sql, "\n") {
			return tokenSpace, len(sql) // who writes it ends the line
		}
		return tokenSpace, until("\n", 2)
	case c == '[':
		return tokenOther, until("]", 1)
	case c == '\'' || c == '"' || c == '`':
		return tokenOther, until(sql[:1], 1)
	case isNameByte(c):
		for n = 1; n < len(sql) && isNameByte(sql[n]); n++ {
		}
		return keyword(sql[:n]), n
	}
	return tokenOther, 1
}

func isNameByte(c byte) bool {
	return c >= 0x80 || c == '_' || c == '$' || '0' <= c && c <= '9' || 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z'
}

func keyword(word string) int {
	switch strings.ToLower(word) {
	case "create":
		return tokenCreate
	case "trigger":
		return tokenTrigger
	case "temp", "temporary":
		return tokenTemp
	case "end":
		return tokenEnd
	case "explain":
		return tokenExplain
	}
	return tokenOther
}
