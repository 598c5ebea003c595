// Package oci makes sandboxes out of OCI containers. It is stage 7 of a
// request's way: in come a sandbox.Spec and a sandbox.Binding (a function, its
// unpacked code), out come outcomes and lines of output.
//
// A Runtime drives an OCI runtime (runc unless configured otherwise) through
// go-runc. Each sandbox is one container with a pid, mount, network, ipc, uts,
// cgroup and user namespace of its own and two host uids that nobody else has.
// Its root shows the host's /usr (and /bin, /lib, … where those are not links
// into it) read-only, and a made-up /etc; nothing else of the host.
//
// How the parts hold together:
//
//   - Every mount that we make lives in a mount namespace of our own
//     (space.go). The host's mount table never changes, and when we die, by
//     whatever means, the kernel takes the mounts and their loop devices back
//     as soon as the containers are gone.
//   - In that namespace each sandbox has a slot: three empty directories in a
//     shared tmpfs. The container sees them as slaves at /var/task, /opt and
//     /tmp. Code, layers and the scratch file system are built as detached
//     mounts and moved into the slot, whereupon they appear inside, before the
//     process starts or while it runs (attach.go).
//   - The network namespace and the Runtime API's listener in it are made ahead
//     (endpoint.go) and are held by descriptors alone.
//   - The process is pid 1's child where the root has a shell (command.go), so
//     that it dies of signals and its orphans are reaped as anywhere else. We
//     are the container's parent (child subreaper) and learn its end through a
//     pidfd (process.go).
//   - What does outlive us (containers, cgroups, scratch files) is recorded
//     before it is made (record.go). Recover reads the records of a dead owner
//     and reaps; it touches nothing that no record names.
//
// Guarantees: those of sandbox.Sandbox; a sandbox that failed to start leaves
// nothing behind; Close of the Runtime leaves nothing behind.
//
// New makes the calling process a child subreaper: orphans of its containers
// become its children. A program that waits for "any child" would take exit
// statuses away from this package.
//
// To test it: go test ./sandbox/oci, as root, with runc, nodejs and python3
// installed. The contract's tests are those of sandboxtest.
package oci
