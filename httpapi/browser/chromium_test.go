package browser

import (
	"context"
	"flag"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/chromedp"

	"example.com/snapd/internal/testdb"
)

// chromium is the one browser of this test binary. Every test has a context of its
// own in it, with its own cookies and storage.
var chromium struct {
	once   sync.Once
	ctx    context.Context
	cancel func()
	err    error
}

// The tests wait for pages far more than they compute.
const parallelTests = "4"

func TestMain(m *testing.M) {
	testdb.RunChild(children)
	flag.Parse()
	chosen := false
	flag.Visit(func(f *flag.Flag) { chosen = chosen || f.Name == "test.parallel" })
	if !chosen {
		if err := flag.Set("test.parallel", parallelTests); err != nil {
			panic(err)
		}
	}
	code := m.Run()
	if chromium.cancel != nil {
		chromium.cancel()
	}
	os.Exit(code)
}

// chromiumPath is the browser to drive: without windows where that can be had, which takes a fifth of the processor time.
func chromiumPath(t testing.TB) string {
	t.Helper()
	if path := os.Getenv("CHROMIUM"); path != "" {
		return path
	}
	for _, name := range []string{"chromium-headless-shell", "chromium", "chromium-browser", "google-chrome"} {
		if path, err := exec.LookPath(name); err == nil {
			return path
		}
	}
	testdb.Missing(t, "Chromium", "make tools")
	return ""
}

// startChromium returns the context of the browser, which it starts once.
func startChromium(t testing.TB) context.Context {
	t.Helper()
	path := chromiumPath(t)
	chromium.once.Do(func() {
		home, err := os.MkdirTemp("", "snapd-browser-")
		if err != nil {
			chromium.err = err
			return
		}
		options := append(chromedp.DefaultExecAllocatorOptions[:],
			chromedp.ExecPath(path),
			chromedp.UserDataDir(filepath.Join(home, "profile")),
			chromedp.NoSandbox, // tests run as root in CI, where Chromium refuses its sandbox
			chromedp.DisableGPU,
			chromedp.WindowSize(1280, 900),
			chromedp.Flag("disable-quic", true),
			chromedp.Flag("disable-component-update", true),
			chromedp.Flag("no-proxy-server", true),
			chromedp.Flag("lang", "en-GB"),
			chromedp.Flag("hide-scrollbars", false), // they take width, as they do for people
			chromedp.Env("TZ=Europe/Berlin", "HOME="+home),
			chromedp.WSURLReadTimeout(time.Minute),
		)
		allocator, stop := chromedp.NewExecAllocator(context.Background(), options...)
		ctx, cancel := chromedp.NewContext(allocator)
		chromium.ctx = ctx
		chromium.err = chromedp.Do(ctx)
		chromium.cancel = func() {
			cancel()
			stop()
			_ = os.RemoveAll(home) // the system's temporary directory is cleaned in the end
		}
	})
	if chromium.err != nil {
		t.Fatalf("start %s: %v", path, chromium.err)
	}
	return chromium.ctx
}
