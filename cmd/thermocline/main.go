// Command thermocline is the program: the server with all the wiring, and the
// command line that speaks to it. It stands around all stages and is the only
// package that knows concrete adapters.
//
// In come arguments, the environment and a configuration file; out go lines
// for people, JSON with --json, and an exit code (0 done, 1 failed, 2 used
// wrongly, 3 configured wrongly, 4 no server answers, 5 not found). Answers go
// to standard output, everything else to standard error. An error says what to
// do next.
//
// main only calls execute. Every command has a file and a test of its own, and
// sees the process through one struct, so that tests run it in process:
// go test ./cmd/thermocline. The e2e package drives the built program.
package main

import "os"

func main() { os.Exit(execute(processEnv())) }
