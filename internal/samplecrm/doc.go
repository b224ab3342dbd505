// Package samplecrm makes believable CRM databases and keeps them changing: for
// the demo, for benchmarks and for tests.
//
// It stands for the applications this project protects and therefore goes
// through database/sql like one of them. Its ledger (see Sum) shows whether an
// image is one committed state.
package samplecrm
