package interpreter

import "debug/elf"

// machine and npmCPU are this machine's architecture as ELF and npm name it.
const (
	machine = elf.EM_AARCH64
	npmCPU  = "arm64"
)
