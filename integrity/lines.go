package integrity

import (
	"fmt"
	"iter"
	"strings"

	"example.com/snapd/internal/sqlite"
)

// This file reads what SQLite says in words: the lines of quick_check and
// integrity_check, and the messages of errors. Everything else goes by the fields of
// the findings that come out of it.

// rule maps a line of quick_check's or integrity_check's output to a code.
type rule struct {
	part   string // what the line contains
	prefix bool   // the line begins with it
	code   Code
	// names says what follows part: "table", "index", "column" for TABLE.COLUMN, or "".
	names string
}

// rules in order of precedence. The texts are those of SQLite's
// sqlite3BtreeIntegrityCheck (btree.c), PRAGMA integrity_check (pragma.c) and the
// xIntegrity methods of FTS5 and RTree, from version 3.41 on.
var rules = []rule{
	{part: "NULL value in ", prefix: true, code: CodeNull, names: "column"},
	{part: "CHECK constraint failed in ", prefix: true, code: CodeCheck, names: "table"},
	{part: "non-unique entry in index ", prefix: true, code: CodeIndexNonunique, names: "index"},
	{part: "NUMERIC value in ", prefix: true, code: CodeType, names: "column"},
	{part: "TEXT value in ", prefix: true, code: CodeType, names: "column"},
	{part: "wrong # of entries in index ", prefix: true, code: CodeIndexCount, names: "index"},
	{part: "rowid not at end-of-record for row ", prefix: true, code: CodeIndexDiffers},
	{part: "row not in PRIMARY KEY order for ", prefix: true, code: CodeKeyOrder, names: "table"},
	{part: " missing from index ", code: CodeIndexMissing, names: "index"},
	{part: " values differ from index ", code: CodeIndexDiffers, names: "index"},
	{part: " stores an imprecise floating-point value ", code: CodeIndexImprecise},
	{part: "In RTree ", prefix: true, code: CodeRTree},
	{part: "inverted index for FTS5 table main.", code: CodeFTS, names: "table"},
	{part: "inverted index for FTS", code: CodeFTS},
	{part: "fts5: ", prefix: true, code: CodeFTS},
	{part: "Rowid ", code: CodeOrder},
	{part: "Freelist: ", prefix: true, code: CodeFreelist},
	{part: "freelist leaf count too big", code: CodeFreelist},
	{part: "overflow list length", code: CodeOverflow},
	{part: ": never used", code: CodePageUnreferenced},
	{part: ": pointer map referenced", code: CodePageMultiplyReferenced},
	{part: "2nd reference to page ", code: CodePageMultiplyReferenced},
	{part: "ptrmap", code: CodePointerMap},
	{part: "ptr map entry", code: CodePointerMap},
	{part: "max rootpage", code: CodePointerMap},
	{part: "incremental_vacuum enabled", code: CodePointerMap},
	{part: "invalid page number ", code: CodePageNumber},
	{part: "Child page depth differs", code: CodeDepth},
	{part: "Extends off end of page", code: CodeCell},
	{part: "Multiple uses for byte ", code: CodeCell},
	{part: "Fragmentation of ", code: CodeCell},
	{part: "Offset ", code: CodeCell},
	{part: "free space corruption", code: CodeCell},
	{part: "Bad cell header size", code: CodeRecord},
	// The message of the one opcode that takes a row's record apart.
	{part: "database disk image is malformed", prefix: true, code: CodeRecord},
	{part: "btreeInitPage() returns error", code: CodePage},
	{part: "unable to get the page", code: CodePage},
	{part: "failed to get page", code: CodePageNumber},
}

// parseLine returns the finding of one line of a check's output.
func parseLine(line string) Finding {
	f := Finding{Code: CodeStructure, Message: line}
	for _, r := range rules {
		at := strings.Index(line, r.part)
		if at < 0 || r.prefix && at > 0 {
			continue
		}
		f.Code = r.code
		f.named(r.names, line[at+len(r.part):])
		break
	}
	// "non-INTEGER value in t.c": the type stands in the middle.
	if _, name, ok := strings.Cut(line, " value in "); ok && f.Code == CodeStructure && strings.HasPrefix(line, "non-") {
		f.Code = CodeType
		f.named("column", name)
	}
	if f.Code == CodeRecord && line == "database disk image is malformed" {
		f.Message = fmt.Sprintf("the bytes of a row do not form a record (%s)", line)
	}
	if f.Code == CodePage {
		f.Message = fmt.Sprintf("what is there is no page of a table or an index (%s)", line)
	}
	// "Tree 5 page 6 cell 2: …", "Page 7: never used".
	if n, err := fmt.Sscanf(line, "Tree %d page %d", &f.root, &f.Page); n < 2 && err != nil {
		_, _ = fmt.Sscanf(line, "Page %d:", &f.Page) // most lines name no page
	}
	f.Repair = f.Code.kind().repair
	return f
}

// named sets what name is the name of. SQLite does not quote names: of a column the
// last dot is taken for the one before it.
func (f *Finding) named(what, name string) {
	switch what {
	case "index":
		f.Index = name
	case "table":
		f.Table = name
	case "column":
		f.Table = name[:max(strings.LastIndex(name, "."), 0)]
	}
}

// parseRow gives the findings of one row of a check's output, which can hold many lines.
func parseRow(row string) iter.Seq[Finding] {
	return func(yield func(Finding) bool) {
		// A virtual table's own report runs over several lines under one heading.
		if strings.HasPrefix(row, "In RTree ") {
			yield(Finding{Code: CodeRTree, Message: strings.ReplaceAll(row, "\n", " "), Repair: CodeRTree.kind().repair})
			return
		}
		for line := range strings.SplitSeq(row, "\n") {
			if line == "" || line == "ok" || strings.HasPrefix(line, "*** in database ") {
				continue
			}
			if !yield(parseLine(line)) {
				return
			}
		}
	}
}

// vtabCorrupt and indexCorrupt are SQLite's extended result codes for damage in the
// tables of a virtual table and for an index that lacks a row (rescode.html).
const (
	vtabCorrupt  = 267
	indexCorrupt = 779
)

// addError files an error with which SQLite gave up because of damage.
func (t *results) addError(e *sqlite.Error) {
	switch {
	case strings.HasPrefix(e.Msg, "malformed database schema"):
		why := ""
		if strings.HasSuffix(e.Msg, ")") {
			why = " - the row of this name in the schema is not one that SQLite writes"
		}
		name, _, _ := strings.Cut(strings.TrimPrefix(e.Msg, "malformed database schema ("), ")")
		t.addAt(Finding{Object: name}, schemaCode(e.Msg), "%s%s", e.Msg, why)
	case e.Code == vtabCorrupt && strings.Contains(e.Msg, "RTree"):
		t.add(CodeRTree, "%s", e.Msg)
	case e.Code == vtabCorrupt && strings.HasPrefix(e.Msg, "fts5"):
		t.add(CodeFTS, "%s", e.Msg)
	case e.Code == vtabCorrupt:
		t.add(CodeVirtualTable, "SQLite gave up in a virtual table: %s (code %d)", e.Msg, e.Code)
	case e.Code == indexCorrupt:
		t.add(CodeIndexMissing, "SQLite gave up in an index: %s (code %d)", e.Msg, e.Code)
	default:
		t.add(CodeUnreadable, "SQLite gave up: %s (code %d)", e.Msg, e.Code)
	}
}

// schemaCode names the kind of a message "malformed database schema (NAME) - WHY"
// (SQLite, prepare.c: corruptSchema, and the parser's messages).
func schemaCode(msg string) Code {
	switch _, why, _ := strings.Cut(msg, ") - "); {
	case strings.HasPrefix(why, "invalid rootpage"):
		return CodeSchemaRoot
	case strings.HasPrefix(why, "orphan index"), strings.HasPrefix(why, "no such table: "):
		return CodeSchemaOrphan
	case strings.HasSuffix(why, " already exists"), strings.HasPrefix(why, "there is already "):
		return CodeSchemaDuplicate
	}
	return CodeSchema
}
