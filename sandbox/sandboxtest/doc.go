// Package sandboxtest holds the contract of sandbox.Sandbox as tests, which
// every implementation runs, and a fake with behaviour, which passes them.
//
// In comes a Factory: how to start a sandbox and how to bind one to the
// suite's program. The program does what its payload says ({"do":"echo", …});
// it is written in each language under program/, and in Go for the fake. What
// comes out is the verdict of the tests.
//
// Tests of later stages use NewFake with handlers of their own.
package sandboxtest
