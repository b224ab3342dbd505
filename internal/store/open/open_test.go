package open_test

import (
	"net/url"
	"path/filepath"
	"strings"
	"testing"

	"example.com/snapd/internal/store/open"
)

// If this fails, copies go to another place than the configuration names, or a password is shown.
func TestStore(t *testing.T) {
	path := t.TempDir()
	file := (&url.URL{Scheme: "file", Path: filepath.ToSlash(path)}).String()
	for raw, want := range map[string]string{
		file: file, "s3://bucket": "s3://bucket", "s3://bucket/a/b/?region=eu-1": "s3://bucket/a/b?region=eu-1",
		"sftp://me:s3cret@host/path": "", "sftp://host/path": "", "": "", "/backups": "", "file://host/path": "", "file:backups": "", "ftp://host/path": "", "http://bucket": "", "s3:///path": "", file + "?x=1": "",
		"s3://id:s3cret@bucket/path": "", "file://id:s3cret@localhost/path": "", "sftp2://id:s3cret@host/": "", "s3://bucket/?secret=s3cret": "", "s3://%zz:s3cret@b": "",
		"s3://bucket?endpoint=https://id:s3cret@host": "",
	} {
		s, err := open.Store(t.Context(), raw, open.Options{})
		if (err == nil) != (want != "") || err == nil && s.String() != want {
			t.Errorf("%s opens as %v, %v, want %q", raw, s, err, want)
		}
		if err != nil && strings.Contains(err.Error(), "s3cret") {
			t.Errorf("a password is shown: %v", err)
		}
	}
	s, err := open.Store(t.Context(), file, open.Options{})
	if err != nil {
		t.Fatal(err)
	}
	id := open.ID(s)
	if _, err := open.Store(t.Context(), file, open.Options{ID: id}); err != nil || id == "" {
		t.Errorf("open with the id %q: %v", id, err)
	}
	if _, err := open.Store(t.Context(), file, open.Options{ID: "another"}); err == nil {
		t.Error("another place is taken for this one")
	}
}
