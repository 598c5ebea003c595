// Package instance is stage 6: machines that can hold sandboxes. It holds the
// contract; instance/host gives slices of the machine Thermocline runs on,
// instance/qemu microVMs. Each provider, the fake too, passes instancetest.
//
// In comes a manager's wish for capacity; out goes an instance that this
// manager alone owns until it closes it. Nothing here is reachable from user
// code.
package instance
