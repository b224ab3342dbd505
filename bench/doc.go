// Package bench compares the cost of this project with what users would
// otherwise run. SNAPD_BENCH_BYTES is the size of the databases ("1GiB"; 64 MiB
// unless set). Programs as a whole are compared by the command in compare:
//
//	go run ./bench/compare -size 1GiB -rounds 5
//
// What keeps each commit next to an application that goes on writing is compared by the same
// command: what it costs the writer and the machine, what a kill of everything loses, how long
// it takes to have a moment back.
//
//	go run ./bench/compare -only continuous -rates 100,1000 -duration 10m -size 1GiB
package bench
