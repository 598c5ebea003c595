// Package interpreter says which runtimes can run on this machine. It belongs
// to stage 7: a sandbox asks it for the program that runs a function's
// language.
//
// In come a data directory and the host's directories; out comes a Set that
// maps a runtime as the API names it (nodejs22.x, python3.11) to an
// interpreter's path inside a sandbox and the mounts that path needs. A
// sandbox's root shows the host's /usr and the directories that are links into
// it, and nothing else, so an interpreter counts only if its file, every link
// on the way to it and its dynamic loader are there. What is missing comes
// with `thermocline runtime install`, which is Install here: a Node.js from
// the registry that npm is configured with, under <data>/runtimes/<runtime>,
// mounted at /var/lang.
//
// Guarantees: nothing that was downloaded is unpacked before its SHA-512 has
// been checked, and none of it is run outside a sandbox; an installation is
// there whole or not at all; errors of Lookup say what is missing and what to
// do.
//
// To test it: go test ./sandbox/interpreter. One test installs nodejs22.x from
// the configured registry; it is skipped where that cannot be reached, except
// in CI.
package interpreter
