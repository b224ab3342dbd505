package s3_test

import (
	"bytes"
	"fmt"
	"io"
	"sync"
	"testing"
	"time"

	"github.com/minio/minio-go/v7"

	"example.com/snapd/internal/store/s3"
	"example.com/snapd/internal/store/storetest"
)

const benchSize = 128 << 20

// BenchmarkUpload compares a Put with what a plain client of the same library sends to the same store in the same run.
func BenchmarkUpload(b *testing.B) {
	gateway := storetest.StartGateway(b)
	content := data(benchSize)
	place, err := s3.Parse(gateway.URL(b, gateway.Address))
	if err != nil {
		b.Fatal(err)
	}
	s, err := s3.Open(place, s3.Options{Env: storetest.Env})
	if err != nil {
		b.Fatal(err)
	}
	plain, bucket := gateway.Client(b), gateway.Bucket(b)
	var took [2]time.Duration
	for i := 0; b.Loop(); i++ { // in turn: what else the machine does meets both
		began := time.Now()
		if _, err := plain.Client.PutObject(b.Context(), bucket, "o", bytes.NewReader(content), benchSize, minio.PutObjectOptions{NumThreads: 4, PartSize: 16 << 20}); err != nil {
			b.Fatal(err)
		}
		took[0] += time.Since(began)
		began = time.Now()
		if _, err := put(b, s, fmt.Sprint(i), content); err != nil {
			b.Fatal(err)
		}
		took[1] += time.Since(began)
		if err := s.Delete(b.Context(), fmt.Sprint(i)); err != nil {
			b.Fatal(err)
		}
	}
	perSecond := func(d time.Duration) float64 { return benchSize * float64(b.N) / 1e6 / d.Seconds() }
	b.ReportMetric(0, "ns/op")
	b.ReportMetric(perSecond(took[0]), "plain-MB/s")
	b.ReportMetric(perSecond(took[1]), "store-MB/s")
	b.ReportMetric(100*took[0].Seconds()/took[1].Seconds(), "%-of-plain")
}

// BenchmarkDownload reads an object by ranges of 8 MiB, as a restore does, one and four at a time.
func BenchmarkDownload(b *testing.B) {
	gateway := storetest.StartGateway(b)
	place, err := s3.Parse(gateway.URL(b, gateway.Address))
	if err != nil {
		b.Fatal(err)
	}
	s, err := s3.Open(place, s3.Options{Env: storetest.Env})
	if err != nil {
		b.Fatal(err)
	}
	if _, err := put(b, s, "o", data(benchSize)); err != nil {
		b.Fatal(err)
	}
	const span = 8 << 20
	for _, readers := range []int{1, 4} {
		b.Run(fmt.Sprint(readers), func(b *testing.B) {
			b.SetBytes(benchSize)
			for b.Loop() {
				offsets := make(chan int64)
				var work sync.WaitGroup
				for range readers {
					work.Go(func() {
						for off := range offsets {
							r, err := s.Get(b.Context(), "o", "", off, span)
							if err != nil {
								b.Error(err)
								continue
							}
							if n, err := io.Copy(io.Discard, r); err != nil || n != span {
								b.Errorf("%d bytes, %v", n, err)
							}
							r.Close()
						}
					})
				}
				for off := int64(0); off < benchSize; off += span {
					offsets <- off
				}
				close(offsets)
				work.Wait()
			}
		})
	}
}
