package main

import (
	"context"
	"fmt"
	"io"
	"runtime"
	"runtime/debug"

	"example.com/snapd/internal/archive"
	"example.com/snapd/internal/sqlite"
)

type versionCmd struct{}

type versionDocument struct {
	Program       string `json:"program"`
	Version       string `json:"version"`
	SQLite        string `json:"sqlite"`
	ArchiveFormat int    `json:"archive_format"`
	Go            string `json:"go"`
	Platform      string `json:"platform"`
}

func (c *versionCmd) run(_ context.Context, a *app) error {
	v := versionDocument{"snapd", "(devel)", sqlite.Version(), archive.FormatVersion, runtime.Version(), runtime.GOOS + "/" + runtime.GOARCH}
	if info, ok := debug.ReadBuildInfo(); ok && info.Main.Version != "" {
		v.Version = info.Main.Version
	}
	return a.result(v, func(w io.Writer) {
		fmt.Fprintf(w, "snapd %s, SQLite %s, archive format %d, %s %s\n", v.Version, v.SQLite, v.ArchiveFormat, v.Go, v.Platform)
	})
}
