package interpreter

import "debug/elf"

// machine and npmCPU are this machine's architecture as ELF and npm name it.
const (
	machine = elf.EM_X86_64
	npmCPU  = "x64"
)
