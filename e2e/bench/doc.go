// Command bench measures Thermocline beside the same runtimes without it. It
// stands around all stages, like the tests of e2e.
//
// In come the program, the functions under examples/ and what the machine has
// of Node.js, Python and npm; out come a table, and on request JSON, the
// distribution of cold starts and an updated docs/benchmarks.md. The sides of a
// comparison take turns in short rounds, because a shared machine is never
// twice the same; ratios are made within a round and told with the interval
// that holds 95% of them.
//
//	platform  client → Thermocline → sandbox
//	bare      client → a net/http server → the same runtime process, which
//	          speaks the Runtime API with it: no signature, no routing, no
//	          messages, no container, no log, no limits
//	workerd   client → workerd (Node.js only), which gives the same answer
//
// The load generator is the same for all: raw HTTP/1.1 on connections that stay
// open, the request signed once for each round and then sent as it is.
//
// Everything is started on free ports in a temporary directory, ends with the
// program, also at Ctrl-C, and leaves nothing. It needs root and runc, as the
// server does. To run it: make bench. To test it: go test ./e2e/bench, which
// plays it all in a few seconds.
package main
