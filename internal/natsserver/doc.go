// Package natsserver embeds a NATS server with JetStream: the one thing
// underneath every stage (messages, the durable queue, functions, code, leases,
// logs) when Thermocline runs on one machine.
//
// In comes a data directory; out go connections within the process. Nothing
// listens on the network. One server holds a directory: a second one is refused
// at once, and the directory of a dead one is free again.
//
// What it guarantees: with SyncAlways a stored message is on disk before it is
// acknowledged. Below a reserve of free space Writable refuses, so that callers
// refuse before JetStream fails; if JetStream fails all the same, which wedges
// it for good, the server is restarted in process once there is space, and
// connections made by Connect find the new one by themselves.
//
// Check looks at a server that is not ours (an external cluster) and names the
// setting to change.
//
// Test it with go test; the test of a full disk mounts a small tmpfs and needs
// root.
package natsserver
