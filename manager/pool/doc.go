// Package pool is the pure core of an instance manager: which sandbox an
// invocation gets, where a new one is started, which ones go, and how many
// wait booted for whoever comes.
//
// In come needs, releases and the time; out come decisions that the manager
// carries out. It does no I/O, starts no goroutine and reads no clock, so the
// simulator runs this very code on virtual time, and equal calls give equal
// answers. It is not safe for concurrent use: the manager guards it with a
// lock that is never held over I/O.
//
// It guarantees: a sandbox has one function from its binding to its end and
// runs one invocation at a time; one of an older generation is never used; a
// busy sandbox is never evicted; the memory promised to sandboxes never
// exceeds that of their instance. Acquire, Release, Expire (per sandbox) and
// Next are O(log n) in the sandboxes and O(m) in the instances.
//
// How long an idle sandbox is kept, and when one is prepared before a predicted
// call, follows from the idle times of each level of the function's concurrency
// (level.go) and the price of a cold start in memory and time (plan.go). When
// memory runs short the least by Greedy-Dual goes first (Fuerst, Sharma:
// FaasCache, ASPLOS '21): priority = clock + frequency · cost / size, the clock
// being the priority of the last one evicted. The warming pool follows the rate
// of cold starts (refill.go), and frequent functions are staffed (staff.go).
//
// Its tests check these on random operations against a model.
package pool
