// Package pool is the pure core of an instance manager: which sandbox an
// invocation gets, where a new one is started, and which ones go.
//
// In come needs, releases and the time; out come decisions that the manager
// carries out. It does no I/O, starts no goroutine and reads no clock, so the
// simulator runs this very code on virtual time. It is not safe for concurrent
// use: the manager guards it with a lock that is never held over I/O.
//
// It guarantees: a sandbox has one function from its binding to its end and
// runs one invocation at a time; a busy sandbox is never evicted; the memory
// promised to sandboxes never exceeds that of their instance.
//
// Its tests check these on random operations.
package pool
