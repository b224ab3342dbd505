package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"example.com/snapd/internal/store/seal"
	"example.com/snapd/internal/store/storetest"
)

// remoteJobs send and restore: $URL is a remote of ours, $HOST the object storage's address, $ARCHIVE a backup's archive, $KEY the file
// with the key for which copies in $URL/sealed are sealed.
func remoteJobs(archive int64) []*job {
	const (
		restic     = `export RESTIC_PASSWORD=x RESTIC_CACHE_DIR=$W/cache RESTIC_REPOSITORY=s3:http://$HOST/$BUCKET/restic; `
		litestream = `s3://$BUCKET/litestream?endpoint=http://$HOST&forcePathStyle=true&region=us-east-1`
	)
	return []*job{
		{group: "send", name: "snapd", script: `PREFIX=send $SELF -objects send`, after: `PREFIX=send $SELF -objects remove`, of: archive},
		{group: "send", name: "the same, sealed", script: `PREFIX=sent SEAL=yes $SELF -objects send`, after: `PREFIX=sent $SELF -objects remove`, of: archive},
		{group: "send", name: "minio-go PutObject", script: `PREFIX=put $SELF -objects plain`, after: `PREFIX=put $SELF -objects remove`, of: archive, note: "no proof of the source"},

		{group: "store", name: "snapd backup, sent", script: `$SNAPD backup --quiet --db $DB --dir $W/b && ARCHIVE=$(ls $W/b/*_backup_*.db.zst) PREFIX=store $SELF -objects send`,
			after: `PREFIX=store $SELF -objects remove`},
		{group: "store", name: "restic backup", needs: []string{"restic"}, note: "may be torn by a writer", before: restic + `restic -q init`,
			script: restic + `restic -q backup $DB`, after: `PREFIX=restic $SELF -objects remove`},
		{group: "store", name: "litestream replicate -once", needs: []string{"litestream", "sqlite3"}, note: "adds tables to the database",
			script: `litestream replicate -once -log-level error $DB "` + litestream + `" >/dev/null`,
			after:  `PREFIX=litestream $SELF -objects remove; sqlite3 $DB 'PRAGMA wal_checkpoint(TRUNCATE)' >/dev/null; rm -rf "${DB%/*}/.${DB##*/}-litestream"`},

		{group: "fetch", name: "snapd restore --from", script: `$SNAPD restore --quiet --from "s3://$BUCKET/plain?endpoint=http://$HOST&region=us-east-1" --to $W/out.db`},
		{group: "fetch", name: "the same, sealed", script: `$SNAPD restore --quiet --from "s3://$BUCKET/sealed?endpoint=http://$HOST&region=us-east-1" --identity $KEY --to $W/out.db`},
		{group: "fetch", name: "the same, without a catalog there", note: "also quick_check", script: `$SNAPD restore --quiet --from "s3://$BUCKET/bare?endpoint=http://$HOST&region=us-east-1" --to $W/out.db`},
		{group: "fetch", name: "minio-go GetObject, zstd -d", needs: []string{"zstd"}, note: "checksums only",
			script: `PREFIX=plain $SELF -objects get | zstd -q -d -o $W/out.db && sync $W/out.db $W`},
		{group: "fetch", name: "restic restore", needs: []string{"restic"}, before: restic + `restic -q init && restic -q backup $DB`,
			script: restic + `restic -q restore latest --target $W && sync -f $W`, after: `PREFIX=restic $SELF -objects remove`},
		{group: "fetch", name: "litestream restore", needs: []string{"litestream", "sqlite3"},
			before: `litestream replicate -once -log-level error $DB "` + litestream + `" >/dev/null`, script: `litestream restore -o $W/out.db "` + litestream + `" && sync -f $W`,
			after: `PREFIX=litestream $SELF -objects remove; sqlite3 $DB 'PRAGMA wal_checkpoint(TRUNCATE)' >/dev/null; rm -rf "${DB%/*}/.${DB##*/}-litestream"`},
	}
}

const benchBucket = "bench"

// copiesOf sends as serve does, with the catalog that vouches for the archive.
const copiesOf = `db = %[1]q
dir = %[2]q
[[remote]]
name = "plain"
url = "s3://%[3]s/plain?endpoint=http://%[4]s&region=us-east-1"
[[remote]]
name = "sealed"
url = "s3://%[3]s/sealed?endpoint=http://%[4]s&region=us-east-1"
recipients = [%[5]q]
`

// remote compares what sends to object storage, and restores from there.
func (f *field) remote(ctx context.Context) error {
	host, end, err := gateway(ctx, f.o.dir)
	if err != nil {
		return err
	}
	defer end()
	key, err := seal.Generate(false)
	if err != nil {
		return err
	}
	keyFile := filepath.Join(f.o.dir, "key.txt")
	if err := os.WriteFile(keyFile, []byte(key.Identity+"\n"), 0o600); err != nil {
		return err
	}
	if _, err := f.shell(ctx, `$SNAPD backup --quiet --db $DB --dir $K/remote`); err != nil {
		return err
	}
	found, err := filepath.Glob(filepath.Join(f.o.dir, "keep", "remote", "*_backup_*.db.zst"))
	if err != nil || len(found) != 1 {
		return errors.Join(fmt.Errorf("%d archives", len(found)), err)
	}
	st, err := os.Stat(found[0])
	if err != nil {
		return err
	}
	f.env = []string{"HOST=" + host, "BUCKET=" + benchBucket, "ARCHIVE=" + found[0], "KEY=" + keyFile, "RECIPIENT=" + key.Recipient}
	for _, name := range []string{"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_EC2_METADATA_DISABLED", "AWS_SHARED_CREDENTIALS_FILE"} {
		f.env = append(f.env, name+"="+storetest.Env(name))
	}
	config := fmt.Sprintf(copiesOf, f.db, filepath.Join(f.o.dir, "keep", "remote"), benchBucket, host, key.Recipient)
	if err := os.WriteFile(filepath.Join(f.o.dir, "copies.toml"), []byte(config), 0o600); err != nil {
		return err
	}
	if _, err := f.shell(ctx, `$SNAPD remote sync --wait --quiet --config ${DB%/*}/copies.toml && PREFIX=bare $SELF -objects send`); err != nil {
		return err
	}
	jobs := f.remoteJobs(ctx, st.Size())
	if err := f.rounds(ctx, jobs); err != nil {
		return err
	}
	fmt.Printf("The archive has %d bytes, %.1f %% of the database. Rates of what is sent alone are of the archive's bytes, all others of the database's.\n", st.Size(), 100*float64(st.Size())/float64(f.bytes))
	f.tables(os.Stdout, jobs)
	return nil
}

// remoteJobs are those whose peers are there, and can use this storage.
func (f *field) remoteJobs(ctx context.Context, archive int64) (list []*job) {
	for _, j := range remoteJobs(archive) {
		there := true
		for _, name := range j.needs {
			there = there && f.have[name] != ""
		}
		if there && len(j.needs) > 0 {
			err := f.emptied(ctx, j)
			if err == nil {
				_, err = f.shell(ctx, j.script)
			}
			if _, after := f.shell(ctx, j.after); err == nil {
				err = after
			}
			if there = err == nil; !there {
				fmt.Fprintf(os.Stderr, "NOT COMPARED with %s: %v\n", j.name, err)
			}
		}
		if there {
			list = append(list, j)
		}
	}
	return list
}

// gateway starts versitygw with an empty bucket.
func gateway(ctx context.Context, dir string) (host string, end func(), err error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", nil, err
	}
	host = l.Addr().String()
	if err := l.Close(); err != nil {
		return "", nil, err
	}
	data, meta := filepath.Join(dir, "objects", "data"), filepath.Join(dir, "objects", "meta")
	if err := errors.Join(os.MkdirAll(filepath.Join(data, benchBucket), 0o700), os.MkdirAll(meta, 0o700)); err != nil {
		return "", nil, err
	}
	cmd := exec.CommandContext(ctx, storetest.GatewayProgram(), "--quiet", "--keep-alive", "--port", host, "posix", "--sidecar", meta, data)
	cmd.Env = append(os.Environ(), "ROOT_ACCESS_KEY="+storetest.AccessKey, "ROOT_SECRET_KEY="+storetest.SecretKey)
	cmd.Stderr = os.Stderr
	if err := cmd.Start(); err != nil {
		return "", nil, fmt.Errorf("%w; make tools builds it", err)
	}
	end = func() { _ = cmd.Process.Kill(); _ = cmd.Wait() }
	for range 1000 {
		if response, err := http.Get("http://" + host + "/"); err == nil {
			return host, end, response.Body.Close()
		}
		select {
		case <-ctx.Done():
		case <-time.After(10 * time.Millisecond):
		}
	}
	end()
	return "", nil, errors.New("versitygw does not answer")
}
