// Package simulate plays a trace against a policy on virtual time and reports
// what came of it: cold starts, delays, idle memory, machines.
//
// In come a trace.Trace, a Cluster and the name of a policy; out comes a Result
// (Run). The policy thermocline is the program's own: the packages history,
// fleet and manager/pool as they run live. The others are the published ones
// that it is held against, each in a file that names its source.
//
// It guarantees: equal input gives equal output, to the byte; every invocation
// ends exactly once, completed or failed; no instance ever holds more memory or
// runs more invocations than it has room for (checked at every event when
// Options.Check is set). A run is one goroutine; runs side by side share
// nothing but the trace.
//
// Its tests need nothing: go test ./simulate. docs/simulate.md has the model.
package simulate
