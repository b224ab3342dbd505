package s3_test

import (
	"encoding/pem"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/minio/minio-go/v7"

	"example.com/snapd/internal/store/s3"
	"example.com/snapd/internal/store/storetest"
)

// If this fails, parts of uploads that are never completed are paid for as long as the bucket exists, or those of another program, or a
// running upload, are taken away.
func sweep(t *testing.T, gateway *storetest.Gateway) {
	b := behindProxy(t, gateway)
	client := gateway.Client(t)
	bucket := strings.Split(b.url, "/")[2]
	var listed strings.Builder
	for key, begun := range map[string]time.Time{"crm/old": time.Now().Add(-8 * 24 * time.Hour), "crm/young": time.Now().Add(-time.Hour), "crm/not ours": time.Now().Add(-1000 * time.Hour)} {
		id, err := client.NewMultipartUpload(t.Context(), bucket, key, minio.PutObjectOptions{})
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(&listed, "<Upload><Key>%s</Key><UploadId>%s</UploadId><Initiated>%s</Initiated></Upload>", key, id, begun.UTC().Format(time.RFC3339))
	}
	b.proxy.Spoil(storetest.First(1, storetest.Fault{Stale: []byte("<ListMultipartUploadsResult>" + listed.String() + "</ListMultipartUploadsResult>")}, is(http.MethodGet, "uploads")))
	if _, err := put(t, b, "o", data(part+1)); err != nil {
		t.Fatal(err)
	}
	left, err := client.ListMultipartUploads(t.Context(), bucket, "", "", "", "", 100)
	if err != nil {
		t.Fatal(err)
	}
	var keys []string
	for _, upload := range left.Uploads {
		keys = append(keys, upload.Key)
	}
	if got := strings.Join(keys, ", "); got != "crm/not ours, crm/young" {
		t.Errorf("the uploads that are left: %s", got)
	}
}

// If this fails, a thief of the keys can delete the copies that were to be locked.
func locks(t *testing.T, gateway *storetest.Gateway) {
	client := gateway.Client(t)
	if err := client.MakeBucket(t.Context(), "locked", minio.MakeBucketOptions{ObjectLocking: true}); err != nil {
		t.Fatal(err)
	}
	s := open(t, "s3://locked/crm?lock=governance&lock_days=3&endpoint=http://"+gateway.Address, s3.Options{})
	for name, content := range map[string][]byte{"small": []byte("small"), "large": data(part + 1)} {
		if _, err := put(t, s, name, content); err != nil {
			t.Fatal(err)
		}
		info, err := client.StatObject(t.Context(), "locked", "crm/"+name, minio.StatObjectOptions{})
		if err != nil {
			t.Fatal(err)
		}
		until, err := time.Parse(time.RFC3339, info.Metadata.Get("X-Amz-Object-Lock-Retain-Until-Date"))
		if err != nil || info.Metadata.Get("X-Amz-Object-Lock-Mode") != "GOVERNANCE" || until.Before(time.Now().Add(71*time.Hour)) || until.After(time.Now().Add(73*time.Hour)) {
			t.Errorf("%s is locked until %v, %v", name, until, err)
		}
	}
}

// If this fails, a store with a certificate of one's own cannot be used, or any certificate is taken.
func certificates(t *testing.T, gateway *storetest.Gateway) {
	b := behindProxy(t, gateway)
	server := httptest.NewTLSServer(b.proxy)
	t.Cleanup(server.Close)
	file := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw}), 0o600); err != nil {
		t.Fatal(err)
	}
	url := strings.Replace(b.url, "http://"+b.proxy.Address, server.URL, 1)
	for name, content := range map[string][]byte{"small": []byte("small"), "large": data(part + 1)} {
		if _, err := put(t, open(t, url+"&ca_file="+file, s3.Options{}), name, content); err != nil {
			t.Errorf("put over TLS: %v", err)
		}
		b.wantStored(t, name, content)
	}
	if _, err := open(t, url, s3.Options{}).Stat(t.Context(), "small"); err == nil || !strings.Contains(err.Error(), "certificate") {
		t.Errorf("a certificate that is not trusted: %v", err)
	}
}
