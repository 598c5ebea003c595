// Package storetest has the conformance suite of store.Store, and an in-memory
// store that passes it, for the tests of other packages.
//
// In comes a function that makes an empty store; out come failures. Every store
// runs the suite, the fake too, so that what is tested against the fake holds
// against the real one.
package storetest
