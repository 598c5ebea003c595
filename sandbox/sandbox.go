package sandbox

import (
	"context"
	"time"

	"thermocline"
)

// Spec says what a sandbox is before anybody's code is in it.
type Spec struct {
	ID       string // unique on the machine; [a-z0-9-], at most 40 bytes
	Runtime  string // as the API names it: "nodejs20.x", "provided.al2023"
	MemoryMB int    // the limit of its memory; its processor weight follows
	// Output is called for every line the sandbox's processes write, in order,
	// from one goroutine at a time. It must not block for long.
	Output func(Line)
	// Binding, when not nil, binds the sandbox before its process starts (a
	// full start). Otherwise the process boots and waits for Specialise.
	Binding *Binding
}

// Binding is what makes a sandbox the environment of one function.
type Binding struct {
	Function *thermocline.Function
	// CodeDir is a directory of the host with the unpacked code. The sandbox
	// shows it read-only at /var/task and holds no reference after Close.
	CodeDir string
	// LayerDirs are shown merged at /opt, later ones over earlier ones.
	LayerDirs []string
	// LogStream is the name of the log stream shown to the function.
	LogStream string
	// InitType is AWS_LAMBDA_INITIALIZATION_TYPE, "on-demand" if empty.
	InitType string
}

// Line is one line of output, without its newline, cut at 256 KB.
type Line struct {
	Time      time.Time
	RequestID string // "" when written outside any invocation
	Text      string
}

// Invocation is what the sandbox's runtime gets.
type Invocation struct {
	RequestID string
	Payload   []byte
	ARN       string
	// Timeout is the function's. It is counted from when the runtime takes the
	// invocation: initialisation does not count, unless it was cut off and runs
	// again.
	Timeout time.Duration
	// Deadline is used in place of Timeout where that is 0.
	Deadline      time.Time
	ClientContext string // decoded JSON, "" if none
	TraceID       string
}

// Failure says why an invocation failed, from the function's side.
type Failure string

// The failures of functions. FailureNone means that the function answered.
const (
	FailureNone     Failure = ""
	FailureHandler  Failure = "handler"   // the handler threw or returned an error
	FailureInit     Failure = "init"      // the code could not be loaded or threw while loading
	FailureTimeout  Failure = "timeout"   // killed at the deadline
	FailureExit     Failure = "exit"      // the process ended
	FailureMemory   Failure = "memory"    // the kernel killed it for memory
	FailureTooLarge Failure = "too-large" // the result was over MaxResult
)

// Outcome is how an invocation ended. The function's failures are outcomes;
// an error beside it is the platform's.
type Outcome struct {
	Failure Failure
	// Payload is the function's result, or the JSON error that the caller gets:
	// {"errorType":…,"errorMessage":…}.
	Payload []byte
	// Init is the time that initialisation took if this invocation was the
	// first to wait for it or had it run again; 0 otherwise.
	Init time.Duration
	// Duration is the time from handing the invocation to the runtime to its
	// answer.
	Duration time.Duration
	// PeakMemory is the largest memory use since the process started, bytes.
	PeakMemory int64
}

// State is where a sandbox is in its life.
type State string

// The states of a sandbox.
const (
	StateUnbound State = "unbound" // booted, waits for its function
	StateIdle    State = "idle"
	StateBusy    State = "busy"
	StateFrozen  State = "frozen"
	StateClosed  State = "closed"
)

// Sandbox is one function's environment.
//
// Methods may be called from any goroutine, but Specialise, Initialise, Invoke,
// Freeze and Thaw must not overlap each other. Close may come at any time, from anywhere,
// more than once; it ends whatever runs.
type Sandbox interface {
	ID() string

	// Specialise binds an unbound sandbox. It returns once the code is visible
	// inside and the runtime was told; initialisation goes on and the first
	// Invoke waits for it. An error leaves a sandbox that is good for nothing
	// but Close. A second call is an error.
	Specialise(ctx context.Context, b Binding) error

	// Initialise waits until the initialisation of a bound sandbox has ended,
	// in whatever way, or its time limit is over: for one that is made ready
	// before anybody calls it. The next Invoke tells how it went, and whatever
	// went wrong it mends or reports. Output meanwhile belongs to no request.
	// The error is ctx's, or the platform's.
	Initialise(ctx context.Context) error

	// Invoke runs one invocation and returns when it has ended. It may be
	// called as soon as the sandbox is bound. All output written before the
	// answer has been given to Spec.Output when it returns.
	//
	// After a timeout, an exit or an init failure the process is gone; the
	// sandbox remains, with its /tmp, and the next Invoke starts the process
	// again (Outcome.Init says so). At the invocation's deadline the process is
	// killed. Cancelling ctx kills it too and returns ctx's error: callers that
	// want the function to finish pass a context that outlives the client.
	Invoke(ctx context.Context, inv Invocation) (Outcome, error)

	// Freeze stops all processes from running until Thaw. Both are idempotent.
	Freeze(ctx context.Context) error
	Thaw(ctx context.Context) error

	// Memory returns the bytes in use now.
	Memory() (int64, error)

	// Alive reports whether the sandbox's process runs (false after a timeout
	// or exit, until the next Invoke).
	Alive() bool

	// Close kills everything in the sandbox and removes all of it from the
	// host. It returns when nothing is left.
	Close() error
}
