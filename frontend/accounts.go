package frontend

import (
	"context"
	"crypto/rand"
	"log/slog"
	"math/big"
	"net/http"
	"regexp"
	"strconv"
	"time"
	"unicode/utf8"

	"thermocline"
	"thermocline/store"
)

const (
	maxAccountName = 64      // characters
	maxConcurrency = 100_000 // of an account
	closeTimeout   = 10 * time.Minute
	self           = "self" // the caller's account in a path
)

var accountRE = regexp.MustCompile(`^[0-9]{12}$`)

// accountAnswer is an account as the own API shows it.
type accountAnswer struct {
	ID          string    `json:"id"`
	Name        string    `json:"name"`
	Created     time.Time `json:"created"`
	Operator    bool      `json:"operator"`
	Concurrency int       `json:"concurrency"`       // the limit that holds
	Functions   int       `json:"functions"`         // how many there are
	Closing     string    `json:"closing,omitempty"` // set while it is being deleted
}

func (q *request) accountAnswer(a store.Account) (accountAnswer, error) {
	answer := accountAnswer{
		ID: a.ID, Name: a.Name, Created: a.Created, Operator: a.Operator, Closing: string(a.Closing),
		Concurrency: a.Concurrency,
	}
	if answer.Concurrency == 0 {
		answer.Concurrency = q.server.concurrency.limit
	}
	err := q.server.eachFunction(q.r.Context(), a.ID, func(*thermocline.Function) error {
		answer.Functions++
		return nil
	})
	return answer, err
}

// isOperator reports whether the caller's account is the operator's.
func (q *request) isOperator() (bool, error) {
	a, err := q.server.opts.Store.Account(q.r.Context(), q.identity.Account)
	if isKind(err, thermocline.KindNotFound) {
		return false, nil
	}
	return a.Operator, err
}

// mustBeOperator refuses everybody else.
func (q *request) mustBeOperator() error {
	operator, err := q.isOperator()
	if err == nil && !operator {
		err = q.denied("identity-based")
	}
	return err
}

// account reads the account that the path names: the caller's own, or any for
// the operator.
func (q *request) account() (store.Account, error) {
	id := q.path[0]
	if id == self {
		id = q.identity.Account
	}
	if id != q.identity.Account {
		if err := q.mustBeOperator(); err != nil {
			return store.Account{}, err
		}
	}
	return q.server.opts.Store.Account(q.r.Context(), id)
}

// listAccounts lists the caller's account, and all of them for the operator.
func (q *request) listAccounts() error {
	operator, err := q.isOperator()
	if err != nil {
		return err
	}
	accounts, err := q.server.opts.Store.Accounts(q.r.Context())
	if err != nil {
		return err
	}
	answer := struct {
		Accounts []accountAnswer `json:"accounts"`
	}{Accounts: []accountAnswer{}}
	for _, a := range accounts {
		if !operator && a.ID != q.identity.Account {
			continue
		}
		one, err := q.accountAnswer(a)
		if err != nil {
			return err
		}
		answer.Accounts = append(answer.Accounts, one)
	}
	return q.reply(http.StatusOK, answer)
}

// getAccount shows one account.
func (q *request) getAccount() error {
	a, err := q.account()
	if err != nil {
		return err
	}
	return q.replyAccount(http.StatusOK, a)
}

func (q *request) replyAccount(status int, a store.Account) error {
	answer, err := q.accountAnswer(a)
	if err != nil {
		return err
	}
	return q.reply(status, answer)
}

// accountRequest is what may be said of an account.
type accountRequest struct {
	ID          string  `json:"id"`
	Name        *string `json:"name"`
	Concurrency *int    `json:"concurrency"` // 0: the default
}

func (in accountRequest) apply(a *store.Account) error {
	if in.Name != nil {
		if n := utf8.RuneCountInString(*in.Name); n < 1 || n > maxAccountName || !isPrintable(*in.Name) {
			return invalid("The name of an account has 1 to %d printable characters.", maxAccountName)
		}
		a.Name = *in.Name
	}
	if in.Concurrency != nil {
		if *in.Concurrency < 0 || *in.Concurrency > maxConcurrency {
			return invalid("The concurrency of an account is from 1 to %d, or 0 for the default.", maxConcurrency)
		}
		a.Concurrency = *in.Concurrency
	}
	return nil
}

func isPrintable(s string) bool {
	for _, r := range s {
		if r < ' ' || r == 0x7f || r == utf8.RuneError || r >= 0x80 && r < 0xa0 {
			return false
		}
	}
	return true
}

// createAccount makes an account without keys.
func (q *request) createAccount() error {
	if err := q.mustBeOperator(); err != nil {
		return err
	}
	var in accountRequest
	if err := q.decode(&in); err != nil {
		return err
	}
	if in.Name == nil {
		return invalid("An account needs a name.")
	}
	if in.ID != "" && !accountRE.MatchString(in.ID) {
		return invalid("The id of an account has twelve digits, not %q.", in.ID)
	}
	a := store.Account{ID: in.ID, Created: q.now.UTC()}
	if err := in.apply(&a); err != nil {
		return err
	}
	for {
		if in.ID == "" {
			a.ID = newAccountID()
		}
		err := q.server.makeAccount(q.r.Context(), a)
		if in.ID == "" && isKind(err, thermocline.KindConflict) {
			continue // one in 900 billion
		}
		if err != nil {
			return err
		}
		break
	}
	q.server.opts.Logger.Info("account created", slog.String("account", a.ID), slog.String("by", q.identity.KeyID))
	return q.replyAccount(http.StatusCreated, a)
}

// newAccountID draws twelve digits, the first of them not 0.
func newAccountID() string {
	const least = 100_000_000_000
	n, _ := rand.Int(rand.Reader, big.NewInt(9*least)) // never fails
	return strconv.FormatInt(least+n.Int64(), 10)
}

// makeAccount stores an account. What a create that was under way while an
// account of the id was deleted may have left must not come back with it.
func (s *Server) makeAccount(ctx context.Context, a store.Account) error {
	if _, err := s.opts.Store.Account(ctx, a.ID); err == nil {
		return thermocline.Errorf(thermocline.KindConflict, "The account %s exists already.", a.ID)
	}
	if err := s.deleteFunctions(ctx, a.ID); err != nil {
		return err
	}
	return s.opts.Store.CreateAccount(ctx, a)
}

// updateAccount changes the name and the limit of an account.
func (q *request) updateAccount() error {
	if err := q.mustBeOperator(); err != nil {
		return err
	}
	a, err := q.account()
	if err != nil {
		return err
	}
	var in accountRequest
	if err := q.decode(&in); err != nil {
		return err
	}
	if in.Concurrency != nil {
		limit := *in.Concurrency
		if limit == 0 {
			limit = q.server.concurrency.limit
		}
		reserved, err := q.server.reservedBut(q.r.Context(), a.ID, "")
		if err != nil {
			return err
		}
		if reserved > 0 && limit-reserved < leastUnreserved(limit) {
			return invalid("The functions of the account %s have reserved %d, and %d must be left for the others.", a.ID, reserved, leastUnreserved(limit))
		}
	}
	if a, err = q.server.opts.Store.UpdateAccount(q.r.Context(), a.ID, in.apply); err != nil {
		return err
	}
	return q.replyAccount(http.StatusOK, a)
}

// deleteAccount deletes an account with its keys; with its functions only if
// the query says so.
func (q *request) deleteAccount() error {
	if err := q.mustBeOperator(); err != nil {
		return err
	}
	a, err := q.account()
	if err != nil {
		return err
	}
	mode := store.ClosingEmpty
	if with := q.query.Get("functions"); with != "" {
		on, err := strconv.ParseBool(with)
		if err != nil {
			return invalid("functions must be true or false, not %q", with)
		}
		if on {
			mode = store.ClosingWithFunctions
		}
	}
	a, err = q.server.opts.Store.UpdateAccount(q.r.Context(), a.ID, func(a *store.Account) error {
		if a.Operator {
			return thermocline.Errorf(thermocline.KindConflict, "The account %s is the operator's and cannot be deleted.", a.ID)
		}
		if a.Closing != store.ClosingWithFunctions {
			a.Closing = mode
		}
		return nil
	})
	if err != nil {
		return err
	}
	// What has begun goes on without the caller.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(q.r.Context()), closeTimeout)
	defer cancel()
	if err := q.server.closeAccount(ctx, a); err != nil {
		return err
	}
	q.server.opts.Logger.Info("account deleted", slog.String("account", a.ID), slog.String("by", q.identity.KeyID))
	return q.replyEmpty(http.StatusNoContent)
}

// closeAccount finishes the deletion of an account that is closing. It may be
// cut off anywhere and begun again, by anybody: the account goes last.
func (s *Server) closeAccount(ctx context.Context, a store.Account) error {
	if a.Closing == store.ClosingEmpty {
		if has, _, err := s.opts.Store.List(ctx, a.ID, "", 1); err != nil {
			return err
		} else if len(has) > 0 {
			return s.keepAccount(ctx, a)
		}
	}
	if err := s.deleteFunctions(ctx, a.ID); err != nil {
		return err
	}
	if err := s.opts.Store.DeleteLogs(ctx, a.ID, ""); err != nil {
		return err
	}
	if err := s.opts.Store.DeleteAccount(ctx, a.ID); err != nil && !isKind(err, thermocline.KindNotFound) {
		return err
	}
	s.concurrency.forget(a.ID)
	return nil
}

// keepAccount ends the deletion of an account that turned out to have
// functions: its keys work again.
func (s *Server) keepAccount(ctx context.Context, a store.Account) error {
	_, err := s.opts.Store.UpdateAccount(ctx, a.ID, func(a *store.Account) error {
		if a.Closing == store.ClosingEmpty {
			a.Closing = ""
		}
		return nil
	})
	if err != nil {
		return err
	}
	return thermocline.Errorf(thermocline.KindConflict, "The account %s has functions. Delete them first, or with it (functions=true).", a.ID)
}

// deleteFunctions deletes all functions of an account.
func (s *Server) deleteFunctions(ctx context.Context, account string) error {
	for {
		page, _, err := s.opts.Store.List(ctx, account, "", scanPage)
		if err != nil || len(page) == 0 {
			return err
		}
		for _, f := range page {
			versions, err := s.opts.Store.Versions(ctx, account, f.Name)
			if err != nil && !isKind(err, thermocline.KindNotFound) {
				return err
			}
			err = s.opts.Store.Delete(ctx, thermocline.FunctionID{Account: account, Name: f.Name})
			if err != nil && !isKind(err, thermocline.KindNotFound) {
				return err
			}
			for _, v := range versions {
				s.opts.History.Forget(v.FunctionID)
				s.opts.Fleets.Forget(v.FunctionID)
			}
		}
	}
}
