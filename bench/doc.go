// Package bench compares the cost of this project with what users would
// otherwise run. SNAPD_BENCH_BYTES is the size of the databases ("1GiB"; 64 MiB
// unless set). Programs as a whole are compared by the command in compare:
//
//	go run ./bench/compare -size 1GiB -rounds 5
package bench
