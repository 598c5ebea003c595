package dispatch

import (
	"context"

	"thermocline"
)

// Mode is how a fleet's requests reach its managers.
type Mode string

// The modes of a fleet.
const (
	ModeDirect Mode = "direct" // to a manager that the frontend chose
	ModeQueue  Mode = "queue"  // onto a partition that one manager leases and pulls from
)

// Partitions is the number of partitions of a fleet's queues.
const Partitions = 64

// Route says where an invocation goes.
type Route struct {
	Fleet string
	Mode  Mode
	// Partition is used in ModeQueue and for events: 0 to Partitions-1.
	Partition int
	// Managers are the choices in order. In ModeDirect the first gets the
	// request and the others are tried when it refuses; in ModeQueue the
	// partition's lessee gets it, and Managers (without the lessee) are tried
	// when that one refuses.
	Managers []string
}

// Client is the frontend's side. Its methods are safe for concurrent use.
type Client interface {
	// Invoke carries a synchronous invocation and waits for its result. The
	// invocation runs at most once.
	//
	// A refusal goes to the next choice at once. Errors: KindThrottled when all
	// choices refused or the bytes in flight are at their bound; KindUnavailable
	// when nobody accepted by inv.StartBy (it was not started and will not be);
	// KindPossiblyStarted when it was accepted and its manager was lost. When
	// ctx ends Invoke returns ctx's error and frees what it holds; the function
	// still finishes, but a program (inv.Program) is ended.
	Invoke(ctx context.Context, r Route, inv *thermocline.Invocation) (*thermocline.Result, error)

	// Enqueue stores an event durably and returns only when it is on disk. The
	// event then runs at least once. KindThrottled when the queue is full,
	// KindUnavailable when it cannot be stored now. Two events with the same
	// RequestID within two minutes are one.
	Enqueue(ctx context.Context, r Route, inv *thermocline.Invocation) error

	// Managers returns the managers that announce themselves now, each with its
	// latest known load. The slice must not be changed.
	Managers() []thermocline.ManagerInfo

	// Queued returns the number of events and waiting requests per fleet.
	Queued(ctx context.Context) (map[string]int, error)
}

// Handler is the manager's side; *manager.Manager is one. (It repeats here
// what the manager package declares for itself, so that neither imports the
// other.)
type Handler interface {
	// Info says who the manager is and how loaded it is now. Cheap: it is
	// called for every reply. Partitions is filled in by the server.
	Info() thermocline.ManagerInfo

	// Handle runs one invocation.
	//
	// It decides at once: without room it returns an error of KindRefused and
	// never calls accepted. Otherwise it calls accepted exactly once before
	// anything of the function starts; if that returns an error (start-by time
	// passed, acknowledgement not confirmed) nothing may start and Handle
	// returns that error. For events accepted tells only that room was found.
	//
	// It returns after the log lines and the outcome are stored. ctx is not
	// ended by the client's going away, only by shutdown's deadline; that of a
	// program is ended by both.
	Handle(ctx context.Context, inv *thermocline.Invocation, accepted func() error) (*thermocline.Result, error)
}

// Server is what a dispatch implementation runs for a manager.
type Server interface {
	// Serve announces h, leases partitions, takes requests and hands each to
	// h.Handle in a goroutine of its own, until ctx ends. Then it stops taking
	// requests and gives up its leases at once (so that others take over without
	// waiting for an expiry), waits for the handlers that run, and returns.
	// It fails only when it cannot start.
	//
	// Events: acknowledged when Handle returned a result that is no function
	// error, or after the last of 3 attempts (1 and 2 minutes apart); refused
	// ones go back with a back-off and use no attempt. A crash of the platform
	// is no attempt either.
	Serve(ctx context.Context, h Handler) error
}
