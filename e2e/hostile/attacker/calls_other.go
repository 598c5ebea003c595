//go:build !amd64

package main

func machineCalls(uintptr, uintptr) []call { return nil }

// foreignCalls: other architectures have no second table under the same entry.
var foreignCalls map[string]uintptr
