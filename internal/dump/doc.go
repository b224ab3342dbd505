// Package dump writes what is in a database as text: values as JSON, CSV and SQL, a table as CSV, a whole database as
// an SQL script. It reads row by row and keeps none.
package dump
