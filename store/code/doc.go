// Package code checks code packages and keeps them unpacked for the sandboxes.
//
// In come zip files, written by anybody: Check says whether one may be stored,
// in the words of the API. Out go directories: Cache unpacks a package once,
// however many sandboxes ask for it, and lends the directory out for reading.
//
// What it guarantees: nothing is written outside the cache's directory; sizes,
// numbers of entries and names are bounded before memory or disk is spent; a
// symbolic link resolves within the package or the package is refused; a
// directory is complete or not there, also after a crash; permissions are
// normal, whatever the zip says.
//
// Test it with go test; FuzzCheck and FuzzUnpack feed it foreign bytes.
package code
