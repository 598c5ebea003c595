package thermocline

import "time"

// Program is code that comes along with its invocation and runs once, in a
// sandbox of its own. No function is created for it.
type Program struct {
	Runtime string
	// Handler is what the runtime calls; RunMain leaves it to the program (see
	// sandbox/bootstrap).
	Handler     string
	Region      string
	MemoryMB    int
	TmpMB       int
	Timeout     time.Duration
	Environment map[string]string
	Code        []byte // a zip, at most MaxProgram bytes
}

const (
	// MaxProgram is how many bytes a program's zip and its payload may have
	// together: they travel in one message.
	MaxProgram = MaxPayload
	// MaxProgramOutput is how much of what a program writes is kept, in bytes.
	MaxProgramOutput = 1 << 20
	// ProgramPrefix begins the names of the functions that stand for programs
	// while they run. No function of a user can have such a name.
	ProgramPrefix = "run:"
)

// Function returns the function that stands for the program while it runs. Its
// id is unique: nothing else is ever routed, counted or pooled under it.
func (p *Program) Function(account, requestID string) *Function {
	return &Function{
		FunctionID:  FunctionID{Account: account, Name: ProgramPrefix + requestID, Version: Latest},
		Region:      p.Region,
		Runtime:     p.Runtime,
		Handler:     p.Handler,
		MemoryMB:    p.MemoryMB,
		TmpMB:       p.TmpMB,
		Timeout:     p.Timeout,
		Environment: p.Environment,
		Generation:  1,
		State:       StateActive,
	}
}
