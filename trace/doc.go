// Package trace is workload: which functions there are, how often each is
// called in each minute, how long its invocations run and how much memory they
// take. It stands beside the request's way.
//
// In come files in the format of the Azure Functions 2019 trace (Read), plain
// or gzip, or its durations file alone, from which a trace is made
// (Synthesize); out comes a Trace and from it, in the order of time, single
// invocations (Trace.Stream). The simulator and the replay of a trace against a
// live server draw from the same stream.
//
// It guarantees: equal seeds give equal streams, and what one function does
// depends on the seed and the function only, so that streams with and without a
// burst, or of parts of a trace, can be held against each other invocation by
// invocation. Files are checked line by line; an error names file and line.
// Lines, functions and minutes are bounded.
//
// Its tests need nothing: go test ./trace. FuzzRead feeds it foreign bytes.
package trace
