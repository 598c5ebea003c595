package instance

import (
	"context"

	"thermocline/sandbox"
)

// Request is a wish for an instance.
type Request struct {
	Owner    string // the manager's id
	MemoryMB int
	// Account is the only account whose functions the instance may run, "" for
	// any. Providers whose instances share a kernel take "".
	Account string
}

// Provider makes instances. Its methods are safe for concurrent use.
type Provider interface {
	// Name is "host", "qemu", "fake".
	Name() string

	// Recover finds what an earlier process with the same identity left
	// (processes, cgroups, mounts, namespaces) and removes it. It touches
	// nothing else. Call it once, before the first Acquire.
	Recover(ctx context.Context) error

	// Acquire returns a new instance, or an error of KindRefused when the
	// provider's budget has no room for it.
	Acquire(ctx context.Context, r Request) (Instance, error)

	// Capacity returns the memory that may be given away in all, and the part
	// that is free, in MB.
	Capacity() (totalMB, freeMB int)

	// Close closes all instances. It returns when nothing is left.
	Close(ctx context.Context) error
}

// Instance is a machine, or a slice of one, with a single owner.
type Instance interface {
	ID() string
	Provider() string
	Owner() string
	MemoryMB() int

	// Start starts a sandbox. The caller keeps account of memory: the sum of
	// its sandboxes' MemoryMB may exceed the instance's, whose limit then holds
	// for all together. The sandbox is closed with the instance.
	Start(ctx context.Context, s sandbox.Spec) (sandbox.Sandbox, error)

	// Done is closed when the instance is gone, on purpose or not.
	Done() <-chan struct{}

	// Close destroys the instance with its sandboxes. Idempotent.
	Close(ctx context.Context) error
}
