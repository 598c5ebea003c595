package frontend

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/google/uuid"

	"thermocline"
)

const (
	// maxPending bounds the transitions that wait; what does not fit is found
	// by the next scan.
	maxPending   = 4096
	scanInterval = 30 * time.Second
	scanPage     = 100
	storeTimeout = 10 * time.Second
)

// transition is a function that is Pending or InProgress until due.
type transition struct {
	id       thermocline.FunctionID
	revision string
	due      time.Time
}

// schedule has Run finish what the function's state promises.
func (s *Server) schedule(f *thermocline.Function) {
	select {
	case s.pending <- transition{f.FunctionID, f.Revision, s.opts.Now().Add(s.opts.Limits.Settle)}:
	default: // found by the next scan
	}
}

// Run finishes functions that are Pending or InProgress, those that an earlier
// process left too, until ctx ends. It returns nil then.
func (s *Server) Run(ctx context.Context) error {
	scan := time.NewTimer(0)
	defer scan.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-scan.C:
			s.scan(ctx)
			scan.Reset(scanInterval)
		case t := <-s.pending:
			// All wait equally long, so the first to come is the first to go.
			wait := time.NewTimer(t.due.Sub(s.opts.Now()))
			select {
			case <-ctx.Done():
				wait.Stop()
				return nil
			case <-wait.C:
			}
			if _, err := s.settle(ctx, t.id, t.revision); err != nil && ctx.Err() == nil {
				s.opts.Logger.Warn("function not settled", slog.String("function", t.id.Name), slog.String("version", t.id.Version), slog.Any("error", err))
			}
		}
	}
}

// scan settles what is older than the queue can hold, and learns how much
// concurrency each account has reserved.
func (s *Server) scan(ctx context.Context) {
	accounts, err := s.opts.Store.Accounts(ctx)
	if err != nil {
		s.opts.Logger.Warn("accounts not listed", slog.Any("error", err))
		return
	}
	for _, account := range accounts {
		if account.Closing != "" { // a process that ended had begun to delete it
			if err := s.closeAccount(ctx, account); err != nil && ctx.Err() == nil {
				s.opts.Logger.Warn("account not deleted yet", slog.String("account", account.ID), slog.Any("error", err))
			}
			continue
		}
		sum := 0
		err := s.eachFunction(ctx, account.ID, func(f *thermocline.Function) error {
			n := 0
			if getExtra(f, extraConcurrency, &n) {
				sum += n
			}
			versions, err := s.opts.Store.Versions(ctx, account.ID, f.Name)
			if err != nil {
				return err
			}
			for _, v := range versions {
				if unsettled(v) && s.opts.Now().Sub(v.LastModified) > s.opts.Limits.Settle {
					if _, err := s.settle(ctx, v.FunctionID, v.Revision); err != nil {
						return err
					}
				}
			}
			return nil
		})
		if err != nil && ctx.Err() == nil {
			s.opts.Logger.Warn("functions not scanned", slog.Any("error", err))
			continue
		}
		s.concurrency.setReserved(account.ID, sum)
	}
}

// eachFunction calls f for the Latest version of an account's functions.
func (s *Server) eachFunction(ctx context.Context, account string, f func(*thermocline.Function) error) error {
	for marker := ""; ; {
		page, next, err := s.opts.Store.List(ctx, account, marker, scanPage)
		if err != nil {
			return err
		}
		for _, function := range page {
			if err := f(function); err != nil && !isKind(err, thermocline.KindNotFound) {
				return err // a function that is gone meanwhile is none
			}
		}
		if next == "" {
			return nil
		}
		marker = next
	}
}

func unsettled(f *thermocline.Function) bool {
	return f.State == thermocline.StatePending || f.LastUpdate == thermocline.UpdateInProgress
}

var errSettled = errors.New("nothing to settle")

// settle makes Pending Active and InProgress Successful, if the function still
// has the revision. It returns the function, nil when it is gone.
func (s *Server) settle(ctx context.Context, id thermocline.FunctionID, revision string) (*thermocline.Function, error) {
	ctx, cancel := context.WithTimeout(ctx, storeTimeout)
	defer cancel()
	f, err := s.opts.Store.Update(ctx, id, func(f *thermocline.Function) error {
		if f.Revision != revision || !unsettled(f) {
			return errSettled
		}
		f.State, f.StateReason, f.StateReasonCode = thermocline.StateActive, "", ""
		f.LastUpdate = thermocline.UpdateSuccessful
		f.Revision = uuid.NewString()
		return nil
	})
	switch {
	case errors.Is(err, errSettled):
		return s.opts.Store.Fresh(ctx, id)
	case isKind(err, thermocline.KindNotFound):
		return nil, nil
	}
	return f, err
}

// mayChange answers as AWS when a function is not in a state to be changed.
func (q *request) mayChange(f *thermocline.Function) error {
	switch {
	case f.State == thermocline.StatePending || f.State == thermocline.StateFailed:
		return errState(f.State)
	case f.LastUpdate == thermocline.UpdateInProgress:
		return thermocline.Errorf(thermocline.KindConflict,
			"The operation cannot be performed at this time. An update is in progress for resource: %s", q.region.arn(f.Account, f.Name, ""))
	}
	return nil
}

func errState(state thermocline.State) error {
	return thermocline.Errorf(thermocline.KindConflict,
		"The operation cannot be performed at this time. The function is currently in the following state: %s", state)
}
