// Package browser holds the tests that drive the page as people do, with a real
// browser over a real server, Manager and database. It has no code of its own.
package browser
