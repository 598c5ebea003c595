// Package cgroup makes and removes control groups with a memory limit and a
// processor weight, on machines with version 1, the hybrid layout and version
// 2. It serves instance/host, which is stage 6.
//
// In come paths from the hierarchy's root ("/thermocline-n1/i-1"); out comes
// such a group, or after Remove none: neither it, nor its processes, nor
// groups below it, in any hierarchy.
//
// It is written on plain files and not on containerd/cgroups, which knows only
// /sys/fs/cgroup: so the rules of version 2 are tested on every machine,
// against a model of the kernel's.
//
// To test it: go test ./instance/host/cgroup. The tests on the machine's own
// groups need root.
package cgroup
