package main

import "golang.org/x/sys/unix"

// machineCalls are those that only this architecture has.
func machineCalls(name, word uintptr) []call {
	return []call{
		{"iopl", unix.SYS_IOPL, [5]uintptr{3}},
		{"ioperm", unix.SYS_IOPERM, [5]uintptr{0x80, 1, 1}},
		{"modify_ldt", unix.SYS_MODIFY_LDT, [5]uintptr{0, word, 64}},
		{"uselib", unix.SYS_USELIB, [5]uintptr{name}},
		{"ustat", unix.SYS_USTAT, [5]uintptr{0, word}},
		{"sysfs", unix.SYS_SYSFS, [5]uintptr{3}},
		{"create_module", unix.SYS_CREATE_MODULE, [5]uintptr{name}},
	}
}

// x32 is the bit of the numbers of the x32 table.
const x32 = 0x40000000

// foreignCalls are calls by the numbers of x32.
var foreignCalls = map[string]uintptr{
	"x32 getpid": x32 + unix.SYS_GETPID,
	"x32 mount":  x32 + unix.SYS_MOUNT,
	"x32 ptrace": x32 + 521,
}
