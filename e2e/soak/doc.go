// Package soak has no code but tests: a server under mixed load (warm, pooled
// and full starts, errors, exits, timeouts, memory, events, background
// processes, deployments and deletions), after which everything must be back
// where it was: sandboxes, mounts, loop devices, control groups, namespaces,
// descriptors, goroutines, processes, memory. It stands around all stages.
//
// To test it: go test ./e2e/soak for the short one; `make soak DURATION=1h`
// for the long one, which prints a table as it goes.
package soak
