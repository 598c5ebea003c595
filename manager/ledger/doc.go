// Package ledger is the pure core of how managers share memory: each is sure of
// a guaranteed part, the rest follows the load.
//
// In come what managers take, give back and ask for, what they could spare, and
// the time; out come grants, and the name of the manager that should give an
// instance back when somebody needs memory and none is free. It does no I/O,
// starts no goroutine and reads no clock, so the simulator runs this very code
// on virtual time. It is not safe for concurrent use: its user guards it with a
// lock.
//
// It guarantees: what is taken never exceeds the total; a member may always
// take up to its guarantee; nobody is asked to give what would leave it below
// its guarantee, or two things at once; what was given for a member is kept for
// it for a while and then belongs to all. It never waits, so members that ask
// each other cannot block each other. It does not flap: a member that was given
// memory is not asked for any for Dwell, and memory that is in use moves only
// to a member that will not have more of it, above its guarantee, than is left
// to the giver.
//
// Its tests check these on random operations against a model.
package ledger
