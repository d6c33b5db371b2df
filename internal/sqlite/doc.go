// Package sqlite reads the rows of a table out of a database file of SQLite.
//
// It is for one purpose, rpm's database in a tree, whose content is hostile:
// it reads tables and nothing else, does no SQL and writes nothing. Indexes,
// write-ahead logs and tables without row numbers are not read. All that the
// file says about itself is checked against what is there: no page is read
// twice, and a row is bounded.
//
// The format is described at https://www.sqlite.org/fileformat2.html.
package sqlite
