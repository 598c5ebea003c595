// Package store keeps what must survive: functions, versions, aliases, code,
// accounts, keys, log lines and the usage history. It holds the contract;
// store/natsstore fulfils it over NATS JetStream (KV, object store, streams),
// and storetest has the suite and an in-memory fake that passes it too.
package store
