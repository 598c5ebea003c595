// Package dispatch is stage 4: the message. It carries an invocation from a
// frontend to an instance manager and the result back; it knows acceptance,
// refusal, the second choice, the queue's partitions and the acknowledgement
// of events. It loses nothing that it accepted.
//
// It holds the contract. natsdispatch fulfils it over NATS, memdispatch inside
// one process for tests; both pass dispatchtest's suite.
package dispatch
