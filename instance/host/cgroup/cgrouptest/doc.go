// Package cgrouptest has a model of the kernel's control groups, for tests of
// what makes them: version 2 with the rules that bite (no processes beside
// delegated controllers, no removal while something is below), and version 1
// with the hybrid layout's extra hierarchy, on any machine and without root.
package cgrouptest
