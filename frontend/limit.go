package frontend

import (
	"sync"

	"thermocline"
)

// limiter bounds the synchronous invocations that run at once: those of an
// account's functions without a reservation together, and those of a function
// with one. It counts this frontend's.
type limiter struct {
	limit int // of one account

	mu       sync.Mutex
	accounts map[string]*usage
}

type usage struct {
	unreserved int            // running now
	functions  map[string]int // running now, by name, those with a reservation
	reserved   int            // the sum of all reservations
}

func (l *limiter) of(account string) *usage {
	u := l.accounts[account]
	if u == nil {
		if l.accounts == nil {
			l.accounts = make(map[string]*usage)
		}
		u = &usage{functions: make(map[string]int)}
		l.accounts[account] = u
	}
	return u
}

// enter takes a place, or returns an error of KindThrottled. reserved is the
// function's reservation, negative when it has none. A place that was taken is
// given back by leave with the same arguments.
func (l *limiter) enter(id thermocline.FunctionID, reserved int) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	u := l.of(id.Account)
	if reserved >= 0 {
		if u.functions[id.Name] >= reserved {
			return &thermocline.Error{Kind: thermocline.KindThrottled, Reason: thermocline.ReasonReservedConcurrent, Message: "Rate Exceeded."}
		}
		u.functions[id.Name]++
		return nil
	}
	if u.unreserved >= l.limit-u.reserved {
		return &thermocline.Error{Kind: thermocline.KindThrottled, Reason: thermocline.ReasonConcurrent, Message: "Rate Exceeded."}
	}
	u.unreserved++
	return nil
}

func (l *limiter) leave(id thermocline.FunctionID, reserved int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	u := l.of(id.Account)
	if reserved < 0 {
		u.unreserved--
		return
	}
	if u.functions[id.Name]--; u.functions[id.Name] <= 0 {
		delete(u.functions, id.Name)
	}
}

// setReserved says how much an account has reserved in all.
func (l *limiter) setReserved(account string, sum int) {
	l.mu.Lock()
	l.of(account).reserved = sum
	l.mu.Unlock()
}
