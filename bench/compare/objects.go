package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"

	"example.com/snapd/internal/archive"
	"example.com/snapd/internal/remote"
)

// objects does one thing with the object storage of the environment, below $PREFIX.
func objects(ctx context.Context, what string) error {
	at := os.Getenv("PREFIX")
	switch what {
	case "send":
		return sendArchive(ctx, at)
	case "plain":
		return putArchive(ctx, at)
	case "get":
		return getArchive(ctx, at)
	case "remove":
		return removeAll(ctx, at)
	}
	return fmt.Errorf("-objects %s is unknown", what)
}

// objectOf is the name of the archive's copy, as a sender gives it.
func objectOf(path string) string {
	return remote.Name{Kind: remote.Backup, Number: 1, ID: strings.TrimSuffix(filepath.Base(path), archive.Ext)}.String()
}

// sendArchive sends as serve does: proven while it is read, sealed with $SEAL.
func sendArchive(ctx context.Context, prefix string) (err error) {
	to := remote.Remote{Name: "bench", URL: fmt.Sprintf("s3://%s/%s?endpoint=http://%s&region=us-east-1", os.Getenv("BUCKET"), prefix, os.Getenv("HOST"))}
	if os.Getenv("SEAL") != "" {
		to.Recipients = []string{os.Getenv("RECIPIENT")}
	}
	place, err := remote.Open(ctx, to, "", "")
	if err != nil {
		return err
	}
	f, size, err := openArchive()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	stored, err := archive.NewStored(ctx, f, size)
	if err != nil {
		return err
	}
	s := place.Store
	if place.Sealed != nil {
		s = place.Sealed
	}
	_, err = s.Put(ctx, objectOf(f.Name()), stored, size)
	return err
}

func openArchive() (*os.File, int64, error) {
	path, err := filepath.EvalSymlinks(os.Getenv("ARCHIVE"))
	if err != nil {
		return nil, 0, err
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, 0, err
	}
	st, err := f.Stat()
	return f, st.Size(), err
}

func client() (*minio.Client, string, error) {
	c, err := minio.New(os.Getenv("HOST"), &minio.Options{Creds: credentials.NewStaticV4(os.Getenv("AWS_ACCESS_KEY_ID"), os.Getenv("AWS_SECRET_ACCESS_KEY"), ""), Region: "us-east-1"})
	return c, os.Getenv("BUCKET"), err
}

// putArchive sends with a plain client of the same library, parts as ours.
func putArchive(ctx context.Context, prefix string) (err error) {
	c, bucket, err := client()
	if err != nil {
		return err
	}
	f, size, err := openArchive()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	_, err = c.PutObject(ctx, bucket, prefix+"/o", f, size, minio.PutObjectOptions{NumThreads: 4, PartSize: 16 << 20})
	return err
}

// getArchive writes the archive below prefix to standard output.
func getArchive(ctx context.Context, prefix string) error {
	c, bucket, err := client()
	if err != nil {
		return err
	}
	o, err := c.GetObject(ctx, bucket, prefix+"/"+objectOf(os.Getenv("ARCHIVE")), minio.GetObjectOptions{})
	if err != nil {
		return err
	}
	_, err = io.Copy(os.Stdout, o)
	return errors.Join(err, o.Close())
}

func removeAll(ctx context.Context, prefix string) error {
	c, bucket, err := client()
	if err != nil {
		return err
	}
	for o := range c.ListObjects(ctx, bucket, minio.ListObjectsOptions{Prefix: prefix + "/", Recursive: true}) {
		if o.Err != nil {
			return o.Err
		}
		if err := c.RemoveObject(ctx, bucket, o.Key, minio.RemoveObjectOptions{}); err != nil {
			return err
		}
	}
	return nil
}
