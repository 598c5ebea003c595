// Package manager is stage 5: the instance manager. It acquires instances,
// which it alone owns, keeps the warming and the active pool of sandboxes in
// them, and runs the invocations that reach it as messages.
//
// In comes an invocation; the manager decides at once whether it has room,
// says so, finds a sandbox (warm, pooled or new), runs it, writes its log
// lines and gives back the result. The decisions are manager/pool's, which is
// pure and runs in the simulator too; this package is the shell that carries
// them out.
//
// In the background, one thing at a time and behind the cold starts that are
// being served, it prepares sandboxes for predicted calls (ahead.go) and fills the
// warming pool (warm.go). Managers of a node share its memory through a Ledger:
// one that finds no room has another give an instance back (vacate.go).
//
// It guarantees: one invocation at a time per sandbox; a sandbox is never
// given to a second function; nothing of a function starts before its
// acceptance was confirmed; Close leaves nothing behind.
//
// Its tests run it on the fake provider of instance/instancetest.
package manager
