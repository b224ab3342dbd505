package dump_test

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"math"
	"math/rand/v2"
	"strconv"
	"testing"

	"example.com/snapd/internal/dump"
)

// Lost: a digit of an amount, the difference between nothing and an empty text, a terminal.
func TestRowAsJSON(t *testing.T) {
	t.Parallel()
	for want, v := range map[string]any{
		`null`: nil, `0`: int64(0), `9007199254740992`: int64(1 << 53), `"9007199254740993"`: int64(1<<53 + 1), `"-9223372036854775808"`: int64(math.MinInt64),
		`1.0`: 1.0, `0.1`: 0.1, `1234567.25`: 1234567.25, `1e+300`: 1e300, `-5e-324`: -5e-324, `"Infinity"`: math.Inf(1), `"-Infinity"`: math.Inf(-1),
		`""`: "", `"a\"b<&>"`: `a"b<&>`, `"\u001b[2J\u009b\u007f\r\n"`: "\x1b[2J\u009b\x7f\r\n", `"\u0000x"`: "\x00x", `"a\ufffd"`: "a\xff",
		`{"base64":"AP8="}`: []byte{0, 255}, `{"base64":""}`: []byte{},
	} {
		got, err := json.Marshal(dump.Row{v})
		var back []any
		if err == nil {
			err = json.Unmarshal(got, &back)
		}
		compact := bytes.Buffer{}
		enc := json.NewEncoder(&compact)
		enc.SetEscapeHTML(false)
		if err := enc.Encode(dump.Row{v}); err != nil {
			t.Error(err)
		}
		if g := string(bytes.TrimSpace(compact.Bytes())); err != nil || g != "["+want+"]" {
			t.Errorf("%#v: %s, want [%s]: %v", v, g, want, err)
		}
	}
	rng := rand.New(rand.NewPCG(1, 2))
	for range 10_000 {
		f := math.Float64frombits(rng.Uint64())
		if math.IsNaN(f) || math.IsInf(f, 0) {
			continue
		}
		if back, err := strconv.ParseFloat(dump.Real(f), 64); err != nil || back != f {
			t.Fatalf("%v became %s", f, dump.Real(f))
		}
	}
}

func TestCSV(t *testing.T) {
	t.Parallel()
	var b bytes.Buffer
	w, err := dump.NewCSV(&b, []string{"a", "the, b", `c"`})
	if err != nil {
		t.Fatal(err)
	}
	for _, row := range []dump.Row{{nil, "", "x"}, {int64(-1), 2.0, []byte("AB")}, {" blank", "line\r\nbreak", "plain text"}} {
		if err := w.Write(row); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Flush(); err != nil {
		t.Fatal(err)
	}
	const want = "a,\"the, b\",\"c\"\"\"\r\n" + ",\"\",x\r\n" + "-1,2.0,x'4142'\r\n" + "\" blank\",\"line\r\nbreak\",plain text\r\n"
	if b.String() != want {
		t.Errorf("%q\nwant %q", b.String(), want)
	}
	rows, err := csv.NewReader(&b).ReadAll()
	if err != nil || len(rows) != 4 || rows[3][1] != "line\nbreak" { // which reads CR LF as LF
		t.Errorf("%q %v", rows, err)
	}
}
