// Package host is the instance provider of stage 6 that hands out slices of
// the machine Thermocline runs on. A slice is a control group with a memory
// limit and a processor weight, below one group that belongs to this node; the
// sandboxes in it are started by sandbox/oci, or whatever the Starter is.
//
// In come the wishes of all managers of this node; out go slices, each with
// one owner, as long as the ledger has memory for them, and an error of
// KindRefused when it has not.
//
// Guarantees: the sum of the slices' memory never exceeds the budget, which is
// three quarters of what this process may use unless configured. A slice is
// recorded on disk before it is made, so that a later process with the same
// node id finds and removes what this one leaves when it is killed; it removes
// nothing else, and nothing at all while the process that made the records
// lives. Close returns when the sandboxes, processes and groups are gone.
//
// To test it: go test ./instance/host. The tests on real control groups need
// root; in CI they fail without it.
package host
