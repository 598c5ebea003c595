// Package hostile has no code but tests: functions that attack the platform,
// each other and themselves, in real sandboxes of the real program, both
// started in full and specialised from the warming pool. It stands around all
// stages.
//
// Each attack must be contained: what must not succeed does not, the next
// invocation of the same function works, and while it goes on a neighbour's p99
// stays within twice of what it was right before (neighbour_test.go says how
// that is measured on a small machine). attacker is the hostile program.
// docs/security.md says which part of the platform contains what.
//
// To test it: go test ./e2e/hostile, as root, with runc and Node.js.
package hostile
