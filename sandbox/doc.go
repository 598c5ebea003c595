// Package sandbox is stage 7: one function's environment, in which its code
// runs isolated. It holds the contract; sandbox/oci fulfils it with OCI
// containers, sandboxtest with a fake, and both pass sandboxtest's suite.
//
// In comes a Spec (what kind of environment) and, at once or later, a Binding
// (whose code); then one invocation after the other. Out come outcomes and
// lines of output. A sandbox belongs to one function from its binding to its
// end, runs one invocation at a time, and never outlives its owner.
package sandbox
