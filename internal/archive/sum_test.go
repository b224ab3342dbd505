package archive

import (
	"bytes"
	"errors"
	"testing"
)

// Lost: the proof that what was written is what was checked, for an archive that is not finished yet.
func TestSumOfAnImage(t *testing.T) {
	t.Parallel()
	image := bytes.Repeat([]byte("page"), 3<<20/4) // three frames
	image = image[:len(image)-4096]
	var b bytes.Buffer
	w, err := NewWriter(&b, WriterOptions{PageSize: 4096, Seed: 3})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write(image); err != nil {
		t.Fatal(err)
	}
	sum, err := w.Sum()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write(image[:4096]); !errors.Is(err, errEnded) {
		t.Errorf("the image went on after its end: %v", err)
	}
	info, err := w.Finish(Facts{})
	if err != nil || info.Sum != sum || info.ImageBytes != int64(len(image)) {
		t.Errorf("%+v, %v; the sum was %v", info, err, sum)
	}
}
