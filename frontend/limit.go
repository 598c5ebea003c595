package frontend

import (
	"context"
	"sync"
	"sync/atomic"

	"thermocline"
	"thermocline/store"
)

// Concurrency bounds the executions that run at once, whether a caller waits
// for them or not: those of a function with a reservation by what it has
// reserved, and those of an account's other functions together by what is left
// of the account's limit. It counts the executions of one process. It is safe
// for concurrent use, and accounts do not wait for each other.
type Concurrency struct {
	store    Reservations
	limit    int      // of an account without one of its own
	accounts sync.Map // of *usage, by the account's id
}

// Reservations is where Concurrency looks limits up, from memory; store.Store
// is one.
type Reservations interface {
	Get(ctx context.Context, id thermocline.FunctionID) (*thermocline.Function, error)
	Account(ctx context.Context, id string) (store.Account, error)
}

// DefaultConcurrency is how many executions of an account may run at once.
const DefaultConcurrency = 1000

// NewConcurrency returns one that counts nothing yet. limit is that of an
// account without one of its own; 0 is DefaultConcurrency.
func NewConcurrency(r Reservations, limit int) *Concurrency {
	if limit == 0 {
		limit = DefaultConcurrency
	}
	return &Concurrency{store: r, limit: limit}
}

// usage is what runs of one account.
type usage struct {
	unreserved atomic.Int64 // running now, of functions without a reservation
	reserved   atomic.Int64 // the sum of all reservations

	mu        sync.Mutex
	functions map[string]int // running now, by name, of those with a reservation
}

// Enter takes a place for an execution of a function, or returns an error of
// KindThrottled with AWS's reason. leave gives the place back; it is called
// once.
func (c *Concurrency) Enter(ctx context.Context, id thermocline.FunctionID) (leave func(), err error) {
	id.Version = thermocline.Latest
	latest, err := c.store.Get(ctx, id)
	if err != nil {
		return nil, err
	}
	p, err := c.enter(ctx, latest)
	if err != nil {
		return nil, err
	}
	return p.leave, nil
}

// place is one execution that is counted.
type place struct {
	usage    *usage
	function string // "" when it counts as unreserved
}

// enter is Enter for those who have the function's $LATEST.
func (c *Concurrency) enter(ctx context.Context, latest *thermocline.Function) (place, error) {
	u := c.of(latest.Account)
	if reserved := 0; getExtra(latest, extraConcurrency, &reserved) {
		if !u.enterReserved(latest.Name, reserved) {
			return place{}, throttled(thermocline.ReasonReservedConcurrent)
		}
		return place{u, latest.Name}, nil
	}
	if u.unreserved.Add(1) > int64(c.limitOf(ctx, latest.Account))-u.reserved.Load() {
		u.unreserved.Add(-1)
		return place{}, throttled(thermocline.ReasonConcurrent)
	}
	return place{usage: u}, nil
}

func throttled(reason string) error {
	return &thermocline.Error{Kind: thermocline.KindThrottled, Reason: reason, Message: "Rate Exceeded."}
}

func (p place) leave() {
	if p.function == "" {
		p.usage.unreserved.Add(-1)
		return
	}
	p.usage.mu.Lock()
	defer p.usage.mu.Unlock()
	if p.usage.functions[p.function]--; p.usage.functions[p.function] <= 0 {
		delete(p.usage.functions, p.function)
	}
}

func (u *usage) enterReserved(function string, reserved int) bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.functions[function] >= reserved {
		return false
	}
	if u.functions == nil {
		u.functions = make(map[string]int)
	}
	u.functions[function]++
	return true
}

func (c *Concurrency) of(account string) *usage {
	if u, ok := c.accounts.Load(account); ok {
		return u.(*usage)
	}
	u, _ := c.accounts.LoadOrStore(account, &usage{})
	return u.(*usage)
}

// limitOf is the limit of an account.
func (c *Concurrency) limitOf(ctx context.Context, account string) int {
	if a, err := c.store.Account(ctx, account); err == nil && a.Concurrency > 0 {
		return a.Concurrency
	}
	return c.limit
}

// leastUnreserved is what reservations must leave of a limit.
func leastUnreserved(limit int) int { return min(minUnreserved, limit) }

// setReserved says how much an account has reserved in all.
func (c *Concurrency) setReserved(account string, sum int) { c.of(account).reserved.Store(int64(sum)) }

// forget drops an account that was deleted.
func (c *Concurrency) forget(account string) { c.accounts.Delete(account) }
