// Package archtest holds the tree to its architecture. It stands beside the
// request's way and has no code but tests: which package may import which,
// with the reason, where each third-party module may be used, that the policy
// packages are pure, and that every package is documented once.
//
// A new package or a new edge fails here until it is written into the table
// with its reason; that is the place to think about it.
//
// To test it: go test ./internal/archtest. It runs `go list` and reads the
// source files.
package archtest
