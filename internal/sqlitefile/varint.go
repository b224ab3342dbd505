package sqlitefile

// Varint decodes a variable-length integer (§1.6) and returns its length in bytes, 0
// when b is too short. The first eight bytes have seven bits each, the highest first,
// and go on while their top bit is set; a ninth has eight.
//
//	1xxxxxxx 1xxxxxxx … 0xxxxxxx          at most nine bytes
func Varint(b []byte) (v uint64, n int) {
	for i, c := range b[:min(9, len(b))] {
		if i == 8 {
			return v<<8 | uint64(c), 9
		}
		if v = v<<7 | uint64(c&0x7f); c < 0x80 {
			return v, i + 1
		}
	}
	return 0, 0
}
