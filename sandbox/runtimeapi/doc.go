// Package runtimeapi is the door between stage 7 and the user's code: the HTTP
// server that one sandbox's runtime asks for work and gives answers to. It
// speaks the AWS Lambda Runtime API 2018-06-01, so any runtime made for that
// works unchanged, and one call of our own, GET /thermocline/v1/binding, with
// which a bootstrap that has been started ahead of time waits for its function.
//
// In comes a listener that only the sandbox can reach, and then one Invocation
// after the other. Out comes a Response for each.
//
// The other side is hostile. What a Server guarantees whatever it sends:
//
//   - An answer counts only for the invocation that is running, once.
//   - Memory and goroutines are bounded: MaxConns connections, MaxHeader bytes
//     of headers each, and at most one body in memory at a time, of at most
//     Options.MaxResult bytes. Connections over the limit are not accepted.
//   - Nothing here waits for the other side without the caller's context: a
//     runtime that never answers ends when the caller gives up and kills it.
//
// The states of the runtime and what each call does in them:
//
//	           next        response    error       init/error
//	booting    → ready     400         400         → failed
//	ready      → ready¹    400         400         403
//	busy       403         → answered  → answered  403
//	receiving  403         403         403         403
//	answered   → ready     403         403         403
//	failed     403         400         400         403
//
// ready becomes busy when an invocation is handed over. A response or error
// whose id is not that of the running invocation is 400 in every state.
// ¹ The newest call waits; the older one is answered 403.
//
// A conn answers the calls of an invocation itself, and hands a connection on
// which anything else comes over to net/http.
//
// The tests drive it over loopback and in memory, with well-behaved and with
// broken clients; FuzzConnection feeds it raw bytes.
package runtimeapi
