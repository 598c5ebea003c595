package frontend

import (
	"context"
	"log/slog"
	"runtime"
	"time"

	"thermocline"
	"thermocline/dispatch"
	"thermocline/fleet"
	"thermocline/store"
)

// History counts invocations; *history.History is one. Its methods are safe
// for concurrent use and do not block.
type History interface {
	Started(id thermocline.FunctionID, now time.Time)
	Finished(id thermocline.FunctionID, duration time.Duration, now time.Time)
	// Cancelled ends an invocation that did not run, or whose end somebody else
	// sees (an event).
	Cancelled(id thermocline.FunctionID)
	Usage(id thermocline.FunctionID, now time.Time) thermocline.Usage
	// Each calls f for every function that has been seen, until it returns false.
	Each(now time.Time, f func(thermocline.FunctionID, thermocline.Usage) bool)
	// Forget drops a function that was deleted.
	Forget(id thermocline.FunctionID)
}

// Runtimes knows which runtimes can run here; *interpreter.Finder has Check.
type Runtimes interface {
	// Check returns nil when the runtime can run here, otherwise an error whose
	// text names what is missing; the caller gets to see it.
	Check(ctx context.Context, runtime string) error
	// List lists all that could run here, available or not.
	List(ctx context.Context) ([]Runtime, error)
}

// Runtime is one runtime as the own API lists it.
type Runtime struct {
	Name      string `json:"name"`
	Available bool   `json:"available"`
	Version   string `json:"version,omitempty"` // of the interpreter
	Path      string `json:"path,omitempty"`
	Source    string `json:"source,omitempty"`
	Missing   string `json:"missing,omitempty"` // what is missing and what to do
}

// Managers reports the instance managers' insides, for people to look at.
type Managers interface {
	Status(ctx context.Context) ([]thermocline.ManagerStatus, error)
}

// Store is what the frontend needs to be kept.
type Store interface {
	store.Functions
	store.Code
	store.Accounts
	store.Logs
}

// Options configures a Server. Store, History, Fleets, Dispatch, Runtimes and
// Region are required.
type Options struct {
	Store    Store
	History  History
	Fleets   *fleet.Set
	Dispatch dispatch.Client
	Runtimes Runtimes
	Managers Managers // may be nil
	Region   string   // where nobody names one: a caller's signature does

	Version string // of the program, as the health says it
	Node    string // the name of this machine, as the health says it

	// Architectures of functions that can run here; that of this process if
	// empty. "x86_64", "arm64".
	Architectures []string

	// LocationKey signs the URLs of code packages. Frontends that serve the
	// same clients need the same one; a random one if empty.
	LocationKey []byte

	// Writable is asked before an event is accepted; its error is the answer. nil:
	// always. (The store asks for itself.)
	Writable func() error

	// Concurrency counts what runs, together with whoever else starts executions
	// in this process; one of its own if nil.
	Concurrency *Concurrency

	// Pace is how fast time goes for the history and the fleets.
	Pace thermocline.Pace

	Limits Limits
	Now    func() time.Time
	Logger *slog.Logger
}

// Limits bounds what the Server takes. Zero fields get the defaults.
type Limits struct {
	// BodyBytes bounds the bytes of all large request bodies that are held at
	// once: 512 MB. What does not fit is answered 429.
	BodyBytes int64
	// StartWithin is how long a synchronous invocation may wait to be started:
	// 10 s.
	StartWithin time.Duration
	// Settle is how long a function is shown as Pending or InProgress: 300 ms.
	// The work behind these states is done before the answer, but clients rely
	// on seeing them. An invocation does not wait for it.
	Settle time.Duration
	// BodyTimeout is how long a client may take to send a body, or to read a
	// large answer: 2 min.
	BodyTimeout time.Duration
	// LocationLife is how long the URL of a code package is valid: 10 min.
	LocationLife time.Duration
}

// The quotas of the Lambda API that are not configurable.
const (
	maxCreateBody   = 70_167_211
	maxZip          = 52_428_800
	maxBody         = 1 << 20 // of every other operation
	maxEnvironment  = 4096    // bytes of the variables as JSON
	maxClientCtx    = 3583
	maxTotalCode    = 80_530_636_800 // as GetAccountSettings says; not enforced
	minUnreserved   = 100
	maxAliases      = 1000 // of one function; they are kept with it
	maxTags         = 50
	platformTimeout = time.Minute // beyond start-by and the function's timeout
)

func (o Options) withDefaults() Options {
	l := &o.Limits
	if o.Writable == nil {
		o.Writable = func() error { return nil }
	}
	if o.Concurrency == nil {
		o.Concurrency = NewConcurrency(o.Store, 0)
	}
	if l.BodyBytes == 0 {
		l.BodyBytes = 512 << 20
	}
	if l.StartWithin == 0 {
		l.StartWithin = 10 * time.Second
	}
	if l.Settle == 0 {
		l.Settle = 300 * time.Millisecond
	}
	if l.BodyTimeout == 0 {
		l.BodyTimeout = 2 * time.Minute
	}
	if l.LocationLife == 0 {
		l.LocationLife = 10 * time.Minute
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if len(o.Architectures) == 0 {
		o.Architectures = []string{"x86_64"}
		if runtime.GOARCH == "arm64" {
			o.Architectures = []string{"arm64"}
		}
	}
	return o
}
