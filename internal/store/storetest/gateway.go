package storetest

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"sync/atomic"
	"testing"
	"time"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"

	"example.com/snapd/internal/testdb"
)

// GatewayVersion is that of the object storage that the tests run, as in the Makefile.
const GatewayVersion = "v1.8.0"

// The credentials of every gateway.
const (
	AccessKey = "test-access-key"
	SecretKey = "test-secret-key-not-to-be-shown"
)

// Env is the environment with the gateway's credentials, and nothing else.
func Env(name string) string {
	return map[string]string{"AWS_ACCESS_KEY_ID": AccessKey, "AWS_SECRET_ACCESS_KEY": SecretKey, "AWS_EC2_METADATA_DISABLED": "true",
		"AWS_SHARED_CREDENTIALS_FILE": os.DevNull}[name]
}

// A Gateway is object storage on this machine, with a directory behind it. It ends with the test.
type Gateway struct {
	Address string // host:port, without TLS
	root    string // of what it stores
	stop    func()
	buckets atomic.Int64
}

// StartGateway starts versitygw. Where it is missing the test ends as testdb.Missing says.
func StartGateway(t testing.TB) *Gateway {
	t.Helper()
	program := GatewayProgram()
	if _, err := os.Stat(program); err != nil {
		testdb.Missing(t, "versitygw "+GatewayVersion, "make tools")
	}
	var err error
	for range 5 { // another process may take the port between its choice and its use
		g := &Gateway{Address: freePort(t), root: t.TempDir()}
		if err = g.run(t, program); err == nil {
			return g
		}
	}
	t.Fatal(err)
	return nil
}

// Stop ends the gateway, and Start starts it again, with what it has stored.
func (g *Gateway) Stop() { g.stop() }

// Start is for after Stop.
func (g *Gateway) Start(t testing.TB) {
	t.Helper()
	if err := g.run(t, GatewayProgram()); err != nil {
		t.Fatal(err)
	}
}

// GatewayProgram is where the Makefile puts it.
func GatewayProgram() string {
	if path := os.Getenv("SNAPD_VERSITYGW"); path != "" {
		return path
	}
	cache, err := os.UserCacheDir()
	if err != nil {
		return "versitygw"
	}
	name := "versitygw"
	if runtime.GOOS == "windows" {
		name += ".exe"
	}
	return filepath.Join(cache, "snapd-tools", "versitygw-"+GatewayVersion, name)
}

func freePort(t testing.TB) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// run starts the program and waits until it answers.
func (g *Gateway) run(t testing.TB, program string) error {
	data, meta := filepath.Join(g.root, "data"), filepath.Join(g.root, "meta") // not every file system has extended attributes
	for _, dir := range []string{data, meta} {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return err
		}
	}
	cmd := exec.Command(program, "--quiet", "--keep-alive", "--port", g.Address, "posix", "--sidecar", meta, data)
	cmd.Env = append(os.Environ(), "ROOT_ACCESS_KEY="+AccessKey, "ROOT_SECRET_KEY="+SecretKey)
	log, err := os.Create(filepath.Join(g.root, "log"))
	if err != nil {
		return err
	}
	defer log.Close()
	cmd.Stdout, cmd.Stderr = log, log
	if err := cmd.Start(); err != nil {
		return err
	}
	ended := make(chan struct{})
	go func() { cmd.Wait(); close(ended) }()
	g.stop = func() { cmd.Process.Kill(); <-ended }
	t.Cleanup(g.stop)
	for tick := time.NewTicker(5 * time.Millisecond); ; <-tick.C {
		response, err := http.Get("http://" + g.Address + "/")
		if err == nil {
			return response.Body.Close()
		}
		select {
		case <-ended:
			text, _ := os.ReadFile(log.Name())
			return fmt.Errorf("versitygw ended: %s", text)
		case <-t.Context().Done():
			return t.Context().Err()
		default:
		}
	}
}

// Client returns a plain client of the gateway.
func (g *Gateway) Client(t testing.TB) *minio.Core {
	t.Helper()
	core, err := minio.NewCore(g.Address, &minio.Options{Creds: credentials.NewStaticV4(AccessKey, SecretKey, ""), Region: "us-east-1"})
	if err != nil {
		t.Fatal(err)
	}
	return core
}

// Bucket makes an empty bucket, and returns its name.
func (g *Gateway) Bucket(t testing.TB) string {
	t.Helper()
	name := fmt.Sprintf("bucket-%d", g.buckets.Add(1))
	if err := g.Client(t).MakeBucket(context.Background(), name, minio.MakeBucketOptions{}); err != nil {
		t.Fatal(err)
	}
	return name
}

// URL is that of a new bucket, as the configuration has it, seen through address: the gateway's own, or a proxy's.
func (g *Gateway) URL(t testing.TB, address string) string {
	t.Helper()
	return fmt.Sprintf("s3://%s/crm?endpoint=http://%s&region=us-east-1", g.Bucket(t), address)
}
