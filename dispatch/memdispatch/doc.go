// Package memdispatch fulfils package dispatch's contract inside one process,
// without messages: for tests of the stages around it, and for time that a
// test drives (it uses no clock but package time's, so a testing/synctest
// bubble holds it).
//
// In comes an invocation with a route; out goes a call of a manager's Handler.
// It guarantees what the contract says except that nothing survives the
// process. Crash makes a manager vanish as after kill -9.
//
// It passes dispatchtest's suite.
package memdispatch
