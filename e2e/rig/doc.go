// Package rig builds and drives the real program for the end-to-end tests that
// are not scripts: e2e/hostile and e2e/soak. It stands around all stages.
//
// In comes a testing.TB, out comes a Server that runs on port 0 with a data
// directory of its own, a client of the AWS SDK for it, and views of what it
// has on the host (processes, mounts, control groups, descriptors). Whatever
// the test does, the server is ended with it.
//
// To test it: the tests of the packages that use it.
package rig
