// Package instancetest holds the contract of instance.Provider as tests, which
// every provider runs, and a fake with behaviour, which passes them.
//
// In comes a Factory: how to make a provider, a successor of the same identity
// and a stranger. Out comes the verdict of the tests. Sandboxes run the suite's
// program of sandboxtest, or, in its fake, Program.
//
// Tests of later stages use NewFake with sandboxtest's fake below it.
package instancetest
