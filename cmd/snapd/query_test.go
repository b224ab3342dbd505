package main

import (
	"bytes"
	"testing"
)

// Lost: a terminal, to a text that was stored to move its cursor.
func TestTextIsSafeOnATerminal(t *testing.T) {
	t.Parallel()
	const text = "a\x1b[2Jb\u009bc größe €, 日本\tend\r\n\xff"
	for split := range len(text) {
		var b bytes.Buffer
		w := &legibleStream{w: &b}
		for _, part := range []string{text[:split], text[split:]} {
			if n, err := w.Write([]byte(part)); n != len(part) || err != nil {
				t.Fatal(n, err)
			}
		}
		if want := "a [2Jb c größe €, 日本\tend \n\ufffd"; b.String() != want {
			t.Fatalf("split at %d: %q, want %q", split, b.String(), want)
		}
	}
	for want, v := range map[string]any{`\x1b[2J\u009b\n`: "\x1b[2J\u009b\n", "NULL": nil, "x'00ff'": []byte{0, 255}, "5.0": 5.0, "-7": int64(-7)} {
		if got := cell(v); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
	if got := cell(bytes.Repeat([]byte{1}, 1<<20)); len([]rune(got)) != maxCell {
		t.Errorf("a cell of %d", len(got))
	}
}
