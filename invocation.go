package thermocline

import "time"

// InvocationType says whether the caller waits.
type InvocationType string

// The invocation types of the Lambda API.
const (
	RequestResponse InvocationType = "RequestResponse"
	Event           InvocationType = "Event"
	DryRun          InvocationType = "DryRun"
)

// MaxPayload is the largest synchronous payload and the largest result that
// a function may answer with, in bytes.
const (
	MaxPayload      = 6 << 20
	MaxResult       = 6291556
	MaxEventPayload = 1 << 20
)

// Invocation is one request to run a function.
type Invocation struct {
	RequestID string
	Function  FunctionID
	// Generation is the function's at the time of routing; a manager that
	// knows only an older one reads the store again. 0 means whatever is
	// newest at the start (events).
	Generation    int64
	ARN           string // as the caller named it; the context object shows it
	Type          InvocationType
	Payload       []byte
	ClientContext string // base64, as received
	TraceID       string // X-Amzn-Trace-Id
	LogTail       bool   // the caller asked for LogType=Tail

	Fleet    string    // the fleet that routing chose
	Received time.Time // at the frontend
	// StartBy is the last moment at which a manager may start a synchronous
	// invocation; zero for events. Who accepted after it must discard it.
	StartBy time.Time
	// Attempt counts the runs of an event, from 1. A crash of the platform is
	// not an attempt.
	Attempt int

	// Program is the code of a run, which has no function; nil for every other
	// invocation. Function is then Program.Function's. Never an event.
	Program *Program
}

// StartKind tells how an invocation found its sandbox.
type StartKind string

// The kinds of start. Pooled and full are the cold ones.
const (
	StartWarm   StartKind = "warm"   // a sandbox of its function was idle
	StartPooled StartKind = "pooled" // specialised from the warming pool
	StartFull   StartKind = "full"   // started from nothing
)

// Result is the outcome of an invocation that ran, whether the function
// succeeded or failed. A failure of the platform is an error instead.
type Result struct {
	RequestID       string
	Payload         []byte
	FunctionError   string // "" or "Unhandled"
	ExecutedVersion string
	LogTail         []byte // the last 4 KB of the log, when asked for
	// Output is what a program wrote, and OutputDropped how many bytes more
	// there were; for programs only, whose log is not stored.
	Output        []byte
	OutputDropped int64
	Report        Report
}

// Report is what the REPORT log line says.
type Report struct {
	Start       StartKind
	Duration    time.Duration
	Billed      time.Duration
	Init        time.Duration // 0 when nothing was initialised
	Setup       time.Duration // until the sandbox was bound or started; 0 when it was warm
	MemoryMB    int
	MaxMemoryMB int
	Status      string // "" or "timeout", "error"
	Fleet       string
	Manager     string
	Instance    string
	Sandbox     string
}

// LogKind tells the lines of a log apart.
type LogKind string

// The kinds of log lines.
const (
	LogStart  LogKind = "START"
	LogEnd    LogKind = "END"
	LogReport LogKind = "REPORT"
	LogText   LogKind = "line" // what the function wrote
)

// LogLine is one line of a function's log.
type LogLine struct {
	Time      time.Time `json:"time"`
	Account   string    `json:"account"`
	Function  string    `json:"function"`
	Version   string    `json:"version"`
	RequestID string    `json:"request_id"`
	Kind      LogKind   `json:"kind"`
	Text      string    `json:"text"`
	Manager   string    `json:"manager,omitempty"`
	Instance  string    `json:"instance,omitempty"`
	Sandbox   string    `json:"sandbox,omitempty"`
}
