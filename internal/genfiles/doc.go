// Package genfiles keeps files up to date that are made from the source and
// committed: schemas, pages about rules.
//
// A generator says what the files are to be and where files of its kind stand;
// this package writes those that differ, removes those that are no longer
// wanted, and tells a test which they are:
//
//	func main() { genfiles.Main("lintgen", set) }
package genfiles
