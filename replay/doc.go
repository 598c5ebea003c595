// Package replay plays a trace against a live server and measures what came of
// it. It stands beside the request's way, outside of the server.
//
// In come a trace.Trace, how fast to play it, and a Target that invokes; out
// comes a Result, whose figures have the names of simulate.Result, so that what
// was measured can stand beside what was predicted. The arrivals are those that
// the simulator draws for the same seed.
//
// It guarantees: every invocation of the trace is sent once, in the order of
// time and never before its time; how late they were sent is part of the
// result, because a client that cannot keep up measures itself. The number of
// invocations under way is bounded; what does not fit counts as failed, and
// says so.
//
// Its tests need nothing: go test ./replay.
package replay
