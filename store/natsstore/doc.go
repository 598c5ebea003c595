// Package natsstore fulfils the contracts of package store over NATS JetStream,
// embedded or external.
//
// In come functions, code packages, accounts, keys, log lines and history
// snapshots; out go the same, also after a crash. Where things are:
//
//   - functions, one key-value entry per version, and accounts with their keys:
//     buckets that are followed into memory, so that Get and Key do no I/O;
//   - code packages and history snapshots: object stores;
//   - log lines: a stream bounded in bytes and age, a subject per function.
//
// Functions, accounts, keys and code are on disk, synced, when a call returns
// (given a server with SyncAlways); logs and history opt out of the sync and
// may lose what a crash of the machine catches in memory.
//
// Changes are compare-and-set, on whichever node they happen. What takes more
// than one write has one write that decides, made first when something is
// removed: a function is there as long as its $LATEST entry is, a key as long
// as its account is. A crash in between leaves entries that nobody sees; the
// next start removes them (repair.go).
//
// Environments and secrets are sealed with AES-256-GCM under a key file, each
// bound to its place, so that an entry cannot be copied onto another's.
//
// Test it with go test; the suite is store/storetest, the server an embedded
// one in a temporary directory.
package natsstore
