// Package dispatchtest is the conformance suite of package dispatch's
// contract: every implementation runs it, the fake in memory too.
//
// In comes a function that opens a fresh implementation; out go failures of
// the test. The suite waits for what it can see from outside and nowhere
// assumes real time, so that an implementation may run it in a
// testing/synctest bubble.
package dispatchtest
