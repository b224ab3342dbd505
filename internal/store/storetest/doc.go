// Package storetest has what tests of stores need: the promises of [store.Store] as tests that each implementation runs, and a
// store in memory with faults for the tests of what is built on stores.
package storetest
