//go:build screenshots

package browser

import (
	"bytes"
	"cmp"
	"fmt"
	"image"
	"image/color"
	"image/png"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/chromedp/chromedp"
)

// onlyPictures are scenes that tests of their own judge.
var onlyPictures = []scene{
	{name: "inside", show: hook("inside"), reach: func(s *site, p *tab) {
		p.does(s.customers(), "inside")
		p.click(hook("inside-customers"))
		p.sees(".changed-rows")
		p.click(hook("choose-gone"))
		p.click(hook("choose-along"))
	}},
	{name: "rows-back", reach: func(s *site, p *tab) {
		p.does(s.customers(), "inside")
		p.click(hook("inside-customers"))
		p.sees(".changed-rows")
		p.click(hook("choose-gone"))
		p.click(hook("choose-changed"))
		p.click(hook("choose-along"))
		p.click(hook("bring-back"))
		p.sees(hook("dialog-rows"))
	}},
}

// TestScreenshots makes pictures for people to look at; make screenshots runs it.
func TestScreenshots(t *testing.T) {
	dir := os.Getenv("SNAPD_SCREENSHOTS")
	if dir == "" {
		t.Fatal("SNAPD_SCREENSHOTS names no directory for the pictures")
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	for _, sc := range slices.Concat(scenes, onlyPictures) {
		t.Run(sc.name, func(t *testing.T) {
			t.Parallel()
			p := sc.play(t, light)
			for name, d := range map[string]device{"light": light, "dark": dark, "narrow": narrow} {
				p.look(d)
				p.wait("resized", fmt.Sprintf("innerWidth === %d", d.width))
				must[any](p, "window.scrollTo({top: 0, behavior: 'instant'}), null")
				if sc.show != "" {
					must[any](p, found(sc.show)+".scrollIntoView({block: 'start', behavior: 'instant'}), null")
				}
				must[any](p, settled)
				picture, err := chromedp.Run(p.ctx, chromedp.CaptureScreenshot())
				if err == nil {
					picture, err = smaller(picture)
				}
				if err == nil {
					err = os.WriteFile(filepath.Join(dir, sc.name+"-"+name+".png"), picture, 0o644)
				}
				if err != nil {
					t.Fatal(err)
				}
			}
		})
	}
}

// smaller writes a picture with its 256 most frequent colours: a page has few, and
// every picture stays in the repository for good.
func smaller(raw []byte) ([]byte, error) {
	picture, err := png.Decode(bytes.NewReader(raw))
	if err != nil {
		return nil, err
	}
	size := picture.Bounds()
	count := map[color.RGBA]int{}
	at := func(x, y int) color.RGBA { return color.RGBAModel.Convert(picture.At(x, y)).(color.RGBA) }
	for y := size.Min.Y; y < size.Max.Y; y++ {
		for x := size.Min.X; x < size.Max.X; x++ {
			count[at(x, y)]++
		}
	}
	frequent := slices.SortedFunc(maps.Keys(count), func(a, b color.RGBA) int { return cmp.Compare(count[b], count[a]) })
	var palette color.Palette
	for _, c := range frequent[:min(len(frequent), 256)] {
		palette = append(palette, c)
	}
	nearest := map[color.RGBA]uint8{}
	for c := range count {
		nearest[c] = uint8(palette.Index(c))
	}
	out := image.NewPaletted(size, palette)
	for y := size.Min.Y; y < size.Max.Y; y++ {
		for x := size.Min.X; x < size.Max.X; x++ {
			out.SetColorIndex(x, y, nearest[at(x, y)])
		}
	}
	var b bytes.Buffer
	err = (&png.Encoder{CompressionLevel: png.BestCompression}).Encode(&b, out)
	return b.Bytes(), err
}
