// Package history is stage 2 of a request's way: it counts how often, how long
// and how concurrently each version of each function runs.
//
// In come the start and the end of every invocation of this frontend, and
// what the other frontends gossip of theirs; out goes thermocline.Usage, which
// package fleet holds against its criteria.
//
// The counters are exact and forward-decayed (Cormode, Shkapenyuk, Srivastava,
// Xu: Forward Decay, ICDE 2009): an event at time t adds 2^((t−L)/h) to a sum
// S, and at any later time S·2^(−(now−L)/h) is the count decayed with the
// half-life h. There are two half-lives, a minute (bursts) and an hour (the
// class of a function). The landmark L is a function of time alone, the
// beginning of the hour ("epoch"), so that the sums of all frontends add up
// exactly. As both half-lives divide the epoch, moving a sum to another epoch
// multiplies it by a power of two, which floating point does without rounding.
//
// Every incarnation of a frontend (every start of its process) counts in a
// slot of its own. Within an epoch a slot only grows, so merging is taking the
// maximum: gossip may be lost, repeated and reordered, and a frontend that was
// restarted does not lose against its own past. What a new incarnation finds
// of its predecessors it takes over with Compact.
//
// The package guarantees: no I/O, no goroutine, no clock and no random source
// of its own; a request never waits for more than a shard's lock; memory is
// bounded by Options.MaxFunctions and Options.MaxSlots; bytes from outside are
// checked whole before the first of them counts.
//
// What a program around it does (nothing here starts by itself):
//
//   - at the start: Load every stored snapshot, then Compact, save Snapshot,
//     and delete the stored slots that Compact returned;
//   - about every second: publish Changed to the other frontends, also when it
//     holds no function (it is the heartbeat that keeps the slot's concurrency
//     counted), and save Unsaved;
//   - about every minute: Compact, publish and save Snapshot.
//
// Its tests need nothing: go test ./history. FuzzMerge feeds it foreign bytes.
package history
