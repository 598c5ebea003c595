// Package autoscale says how many sandboxes a frequent function should have
// and how much memory a manager's instances, by what ran lately. It is part of
// stage 5 and, like manager/pool, pure: in come counts and the time, out come
// wishes that the manager carries out. No I/O, no goroutine, no clock; the
// simulator runs it on virtual time. A Function and a Memory are not safe for
// concurrent use.
//
// The rule is square-root staffing over two windows, as in Knative's
// autoscaler: the stable window (60 s) sizes, the panic window (6 s) notices
// bursts. With ρ the mean concurrency of a window, c = ⌈ρ + β√ρ⌉ sandboxes
// leave an arrival waiting with a small probability however large ρ is
// (Halfin, Whitt 1981). A function gets no fewer than the stable window's peak
// either: sized by the mean alone, invocations that come together wait for a
// start. What was needed within the stable window is not taken away, so
// scaling down drains and never cuts into a lull.
//
// Its tests drive it through bursts on virtual time and hold the windows
// against their definition.
package autoscale
