package s3

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// If this fails, copies go to another place than the URL names, unseen over plain HTTP, or a password is shown.
func TestParse(t *testing.T) {
	for raw, want := range map[string]Place{
		"s3://bucket": {Bucket: "bucket", Endpoint: amazon},
		"s3://bucket/a/b/?region=eu-1&style=path&ca_file=/etc/ca.pem": {Bucket: "bucket", Prefix: "a/b", Endpoint: amazon, Region: "eu-1", Style: "path", CAFile: "/etc/ca.pem"},
		"s3://b/p?endpoint=https://s3.example.com:9000/":              {Bucket: "b", Prefix: "p", Endpoint: "s3.example.com:9000"},
		"s3://b?endpoint=http://127.0.0.1:9000":                       {Bucket: "b", Endpoint: "127.0.0.1:9000", Plain: true},
		"s3://b?endpoint=http://[::1]:9000":                           {Bucket: "b", Endpoint: "[::1]:9000", Plain: true},
		"s3://b?endpoint=http://nas&plain_http=yes":                   {Bucket: "b", Endpoint: "nas", Plain: true},
		"s3://b?lock=compliance&lock_days=30":                         {Bucket: "b", Endpoint: amazon, LockMode: "compliance", LockDays: 30},
	} {
		got, err := Parse(raw)
		if err != nil || got != want {
			t.Errorf("%s is %+v, %v, want %+v", raw, got, err, want)
		}
		if again, err := Parse(got.String()); err != nil || again != want {
			t.Errorf("%s is %s again: %+v, %v", raw, got, again, err)
		}
	}
	for raw, text := range map[string]string{
		"s3://":                                 "form",
		"s3:bucket":                             "form",
		"https://bucket":                        "form",
		"s3://key:s3cret@bucket/p":              "AWS_ACCESS_KEY_ID",
		"s3://key@bucket/p":                     "AWS_ACCESS_KEY_ID",
		"s3://b/p?secret_key=s3cret":            "no such parameter",
		"s3://b/../p":                           "prefix",
		"s3://b/p?endpoint=nas":                 "https",
		"s3://b/p?endpoint=http://nas":          "plain_http",
		"s3://b/p?endpoint=ftp://nas":           "https",
		"s3://b/p?endpoint=https://k:s3cret@h":  "https",
		"s3://b/p?endpoint=https://h/s3cret":    "https",
		"s3://b/p?style=s3cret":                 "path or virtual",
		"s3://b/p?lock=governance":              "go together",
		"s3://b/p?lock=s3cret&lock_days=1":      "governance or compliance",
		"s3://b/p?lock=governance&lock_days=-1": "days",
	} {
		_, err := Parse(raw)
		if err == nil || !strings.Contains(err.Error(), text) || strings.Contains(err.Error(), "s3cret") {
			t.Errorf("%s: %v, want %q", raw, err, text)
		}
	}
}

// If this fails, keys that are there are not found, or keys that were changed are used for ever.
func TestCredentials(t *testing.T) {
	dir := t.TempDir()
	file := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	profile := file("credentials", "[default]\naws_access_key_id = profile\naws_secret_access_key = s3cret\n")
	none := map[string]string{"AWS_EC2_METADATA_DISABLED": "true", "AWS_SHARED_CREDENTIALS_FILE": filepath.Join(dir, "none")}
	for name, c := range map[string]struct {
		env  map[string]string
		id   string
		text string // of the error
	}{
		"environment": {map[string]string{"AWS_ACCESS_KEY_ID": "id", "AWS_SECRET_ACCESS_KEY": "s3cret"}, "id", ""},
		"files":       {map[string]string{"AWS_ACCESS_KEY_ID_FILE": file("id", "id\n"), "AWS_SECRET_ACCESS_KEY_FILE": file("key", " s3cret \n")}, "id", ""},
		"profile":     {map[string]string{"AWS_SHARED_CREDENTIALS_FILE": profile}, "profile", ""},
		"nothing":     {none, "", "set AWS_ACCESS_KEY_ID"},
		"half":        {map[string]string{"AWS_ACCESS_KEY_ID": "id"}, "", "AWS_SECRET_ACCESS_KEY is not"},
		"no file":     {map[string]string{"AWS_ACCESS_KEY_ID_FILE": filepath.Join(dir, "none")}, "", "AWS_ACCESS_KEY_ID_FILE"},
		"two lines":   {map[string]string{"AWS_ACCESS_KEY_ID": "id", "AWS_SECRET_ACCESS_KEY_FILE": file("two", "s3cret\ns3cret")}, "", "no single line"},
	} {
		chain := &chain{env: func(key string) string {
			if value, ok := c.env[key]; ok {
				return value
			}
			return none[key]
		}}
		value, err := chain.RetrieveWithCredContext(nil)
		if value.AccessKeyID != c.id || (err == nil) != (c.text == "") || err != nil && !strings.Contains(err.Error(), c.text) {
			t.Errorf("%s: %q, %v", name, value.AccessKeyID, err)
		}
		if err == nil && value.SecretAccessKey != "s3cret" || err != nil && strings.Contains(err.Error(), "s3cret") {
			t.Errorf("%s: the secret is %q, the error %v", name, value.SecretAccessKey, err)
		}
		if name == "files" {
			if chain.IsExpired() {
				t.Error("what was just read from a file is expired")
			}
			chain.expires = time.Now().Add(-time.Second)
			if !chain.IsExpired() {
				t.Error("what was read from a file never expires")
			}
		}
	}
}
