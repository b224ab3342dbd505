package integrity

import (
	"example.com/snapd/internal/sqlitefile"
)

// header is the database header of an image.
type header struct{ sqlitefile.Header }

// judge files what is wrong with the header itself. pages is the image's size
// in pages, or 0 when unknown.
func (h *header) judge(t *results, pages int64) {
	if h.PageSize() == 0 {
		t.add(CodeHeaderPageSize, "the page size in the header is %d: it must be a power of two from 512 to 65536",
			h.RawPageSize())
	}
	if w, r := h.Versions(); !sqlitefile.ValidVersion(w) || !sqlitefile.ValidVersion(r) {
		t.add(CodeHeaderVersion, "the file format versions in the header are %d (write) and %d (read): they must be 1 or 2", w, r)
	}
	if h.PageSize() != 0 && h.Usable() < sqlitefile.MinUsable {
		t.add(CodeHeaderReservedLen, "%d reserved bytes leave %d usable bytes in a page: at least %d are needed", h.Reserved(), h.Usable(), sqlitefile.MinUsable)
	}
	if f, ok := h.Fractions(); !ok {
		t.add(CodeHeaderFractions, "the payload fractions in the header are %d, %d, %d: they must be 64, 32, 32", f[0], f[1], f[2])
	}
	if f, ok := h.SchemaFormat(); !ok {
		t.add(CodeHeaderSchema, "the schema format number in the header is %d: at most 4 is known", f)
	}
	if e := h.Encoding(); !e.Valid() {
		t.add(CodeHeaderEncoding, "the text encoding in the header is %d: it must be 1, 2 or 3", uint32(e))
	}
	if !h.ZeroesAreZero() {
		t.add(CodeHeaderReserved, "header bytes 72 to 91, reserved for future versions of SQLite, are not zero")
	}
	h.judgeReferences(t, pages)
}

func (h *header) judgeReferences(t *results, pages int64) {
	head, count := h.Freelist()
	switch {
	case (head == 0) != (count == 0):
		t.add(CodeHeaderFreelist, "the list of free pages begins at page %d and counts %d pages", head, count)
	case pages > 0 && (int64(head) > pages || int64(count) >= pages):
		t.add(CodeHeaderFreelist, "the list of free pages begins at page %d and counts %d pages, and the database has %d", head, count, pages)
	case head == 1:
		t.add(CodeHeaderFreelist, "the list of free pages begins at page 1, which is never free")
	}
	root := h.LargestRoot()
	switch {
	case pages > 0 && int64(root) > pages:
		t.add(CodeHeaderVacuum, "the largest root page is %d, and the database has %d pages", root, pages)
	case h.IsPointerMap(root):
		t.add(CodeHeaderVacuum, "the largest root page is %d, which is a pointer map page", root)
	case root == 0 && h.IncrementalVacuum():
		t.add(CodeHeaderVacuum, "incremental vacuum is on in a database that keeps no pointer map")
	}
	if root != 0 && h.IsPointerMap(head) {
		t.add(CodeHeaderFreelist, "the list of free pages begins at page %d, which is a pointer map page", head)
	}
}
