// Package natsdispatch fulfils package dispatch's contract over NATS.
//
// In comes, from the frontend, an invocation with a route; out goes, to a
// manager, a call of its Handler. The subjects, streams and buckets (with the
// default prefix):
//
//	thermocline.direct.<manager>            core NATS: requests to one manager
//	thermocline.queue.<fleet>.<partition>   stream thermocline-queue, in memory: requests for whoever leases the partition
//	thermocline.event<n>.<fleet>.<partition> streams thermocline-events-0 to -3, on disk: events, n = partition mod 4
//	thermocline.probe.<manager>.<nuid>      core NATS: is this incarnation of the manager there?
//	thermocline.reply.<nuid>.<token>        core NATS: answers, one wildcard subscription for each client and manager
//	bucket thermocline-managers             <fleet>.<manager> → announcement, in memory, expires
//
// Synchronous requests run at most once: a manager with room asks the client
// before it starts, and a client grants one try of an invocation only (see
// Client.Invoke). A partition's queue delivers each request once, and
// confirms its removal before the start. Events run at least once: stored and
// synced before Enqueue returns, acknowledged after Handle has returned.
//
// Partitions follow the managers' announcements by rendezvous hashing
// (dispatch.Lessees); nobody coordinates. Two managers that pull the same
// partition for a moment do no harm.
//
// The NATS server needs max_payload 8 MB (checked), JetStream, and sync_interval
// always for events to be on disk when they are answered.
//
// Tests run dispatchtest's suite against an embedded server.
package natsdispatch
