package sqlitefile

// Partial returns what the record's bytes have of column i where they end before the column
// does: the start of a text or blob. ok is false where nothing of it is there, or where a number is
// cut off.
func (r Record) Partial(i int) (v Value, ok bool) {
	if v, err := r.Value(i); err == nil {
		return v, true
	}
	if i < 0 || i >= len(r.types) || r.types[i] < serialBlob {
		return Value{}, false
	}
	from := int64(0)
	if i > 0 {
		from = r.ends[i-1]
	}
	if from >= int64(len(r.body)) {
		return Value{}, false
	}
	return valueOf(r.types[i], r.body[from:]), true
}
