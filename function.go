package thermocline

import (
	"maps"
	"slices"
	"time"
)

// Latest is the version that CreateFunction makes and the updates change.
const Latest = "$LATEST"

// FunctionID names one version of one function of one account. It is the key
// of everything that is counted, routed and pooled.
type FunctionID struct {
	Account string // twelve digits
	Name    string
	Version string // Latest or a decimal number
}

// String returns account/name/version.
func (id FunctionID) String() string {
	return id.Account + "/" + id.Name + "/" + id.Version
}

// State is the state of a function as the Lambda API names it.
type State string

// The states of a function.
const (
	StatePending State = "Pending"
	StateActive  State = "Active"
	StateFailed  State = "Failed"
)

// UpdateStatus is the state of the last update as the Lambda API names it.
// It is empty until the function is Active.
type UpdateStatus string

// The states of an update.
const (
	UpdateSuccessful UpdateStatus = "Successful"
	UpdateInProgress UpdateStatus = "InProgress"
	UpdateFailed     UpdateStatus = "Failed"
)

// Function is one version of a function: program code with a name, a version
// and a configuration. A value that a store has returned must not be changed;
// use Clone.
type Function struct {
	FunctionID

	Region       string
	Description  string
	Runtime      string // "nodejs20.x", "python3.11", "provided.al2023", …
	Handler      string
	Role         string // an ARN, kept and returned, never assumed
	Architecture string // "x86_64" or "arm64"

	MemoryMB int           // 128 to 10,240
	TmpMB    int           // size of /tmp, 512 to 10,240
	Timeout  time.Duration // 1 s to 900 s, whole seconds

	// Environment is nil when the client never sent one; the API tells an
	// absent environment from an empty one.
	Environment map[string]string

	CodeSHA256 string // base64 of the SHA-256 of the zip; also the code's key
	CodeSize   int64  // bytes of the zip

	Layers []string // layer version ARNs, in order of application

	// Extra holds what is kept and returned for clients but changes nothing
	// here (TracingConfig, VpcConfig, LoggingConfig, …), as raw JSON by the
	// field's name in the API.
	Extra map[string][]byte

	// Revision is new on every change that the API shows (a UUID).
	Revision string
	// Generation grows with every change of code or configuration of this
	// version. Sandboxes are bound to a generation: a larger one retires them.
	// It starts at the creation's Unix time in nanoseconds, so that a function
	// deleted and created again never repeats one.
	Generation int64

	State           State
	StateReason     string
	StateReasonCode string
	LastUpdate      UpdateStatus
	LastModified    time.Time
}

// Clone returns a copy that shares nothing with f.
func (f *Function) Clone() *Function {
	c := *f
	c.Environment = maps.Clone(f.Environment)
	c.Layers = slices.Clone(f.Layers)
	c.Extra = maps.Clone(f.Extra)
	return &c
}
