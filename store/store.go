package store

import (
	"context"
	"io"
	"time"

	"thermocline"
)

// Functions keeps functions. Changes are compare-and-set; every returned
// *Function is shared and must not be changed.
type Functions interface {
	// Create stores a new function with Version Latest. KindConflict when it
	// exists.
	Create(ctx context.Context, f *thermocline.Function) error

	// Get returns one version. KindNotFound when there is none. It answers from
	// memory that follows the store; a caller that knows a newer generation
	// calls Fresh.
	Get(ctx context.Context, id thermocline.FunctionID) (*thermocline.Function, error)

	// Fresh is Get from the store itself.
	Fresh(ctx context.Context, id thermocline.FunctionID) (*thermocline.Function, error)

	// Update applies change to a clone and stores it, trying again when somebody
	// else was faster. An error of change ends it and is returned as it is.
	Update(ctx context.Context, id thermocline.FunctionID, change func(f *thermocline.Function) error) (*thermocline.Function, error)

	// Publish stores f as a new numbered version; KindConflict when the number
	// or a larger one was used. Numbers are not used again while the function
	// exists. KindNotFound when there is no function.
	Publish(ctx context.Context, f *thermocline.Function) error

	// Delete removes all versions (Version "") or a numbered one. KindNotFound
	// when there is none; KindInvalidParameter for Latest alone.
	Delete(ctx context.Context, id thermocline.FunctionID) error

	// List returns the Latest version of an account's functions, by name, from
	// after the marker (a function name, "" for the first), at most max, and the next marker ("" at the end).
	List(ctx context.Context, account, marker string, max int) (fs []*thermocline.Function, next string, err error)

	// Versions returns all versions of a function, Latest first, then ascending.
	Versions(ctx context.Context, account, name string) ([]*thermocline.Function, error)
}

// Numbers knows the numbers of versions.
type Numbers interface {
	// NextVersion returns the smallest number that Publish takes. Somebody else
	// may take it first: Publish answers KindConflict then, ask again.
	// KindNotFound.
	NextVersion(ctx context.Context, account, name string) (string, error)
}

// Code keeps code packages by the base64 SHA-256 of their zip.
type Code interface {
	// Put stores a package; storing it again is cheap and no error, and makes it
	// young for Collect. KindInvalidParameter when the hash is another one.
	Put(ctx context.Context, sha256 string, zip []byte) error
	// Open returns a package. KindNotFound.
	Open(ctx context.Context, sha256 string) (io.ReadCloser, error)
	// Collect removes the packages for which keep returns false and that are
	// older than age.
	Collect(ctx context.Context, age time.Duration, keep func(sha256 string) bool) (removed int, err error)
}

// Account is a tenant.
type Account struct {
	ID      string    `json:"id"` // twelve digits
	Name    string    `json:"name"`
	Created time.Time `json:"created"`
	// Operator says that its admin keys manage accounts, its own and others.
	Operator bool `json:"operator,omitempty"`
	// Concurrency is how many of its executions may run at once; 0 is the
	// default of those who ask.
	Concurrency int `json:"concurrency,omitempty"`
	// Closing says that the account is being deleted: its keys are worth
	// nothing any more, and whoever finds it so finishes the deletion.
	Closing Closing `json:"closing,omitempty"`
}

// Closing is how an account is being deleted.
type Closing string

// The ways to delete an account.
const (
	ClosingEmpty         Closing = "empty"          // only if it has no functions
	ClosingWithFunctions Closing = "with-functions" // and its functions
)

// Scope is what a key may do.
type Scope string

// The scopes of keys.
const (
	ScopeAdmin  Scope = "admin"  // everything in its account
	ScopeInvoke Scope = "invoke" // invoke functions only
)

// Key is an access key. Secret is sealed at rest.
type Key struct {
	ID      string    `json:"id"` // the access key id
	Secret  string    `json:"-"`
	Account string    `json:"account"`
	Scope   Scope     `json:"scope"`
	Created time.Time `json:"created"`
	Revoked bool      `json:"revoked"`
}

// Accounts keeps accounts and their keys.
type Accounts interface {
	CreateAccount(ctx context.Context, a Account) error // KindConflict
	// Account returns an account from memory that follows the store: it is asked
	// on every invocation. KindNotFound.
	Account(ctx context.Context, id string) (Account, error)
	Accounts(ctx context.Context) ([]Account, error)
	// UpdateAccount applies change and stores the result, trying again when
	// somebody else was faster. An error of change ends it and is returned as it
	// is. KindNotFound.
	UpdateAccount(ctx context.Context, id string, change func(a *Account) error) (Account, error)
	DeleteAccount(ctx context.Context, id string) error // KindNotFound; with its keys
	PutKey(ctx context.Context, k Key) error            // creates or replaces; KindNotFound without its account
	// CreateKey is PutKey of a key that must be new: KindConflict when the id is
	// taken, by whichever account, or when the account is being deleted.
	CreateKey(ctx context.Context, k Key) error
	// RevokeKey makes a key worthless and forgets its secret; once more is no
	// error. KindNotFound when the account has no such key.
	RevokeKey(ctx context.Context, account, id string) (Key, error)
	// DeleteKey removes a key without a trace. KindNotFound as RevokeKey.
	DeleteKey(ctx context.Context, account, id string) error
	// Key returns a key by its id from memory that follows the store: it is
	// asked on every request. KindNotFound, also when its account is being
	// deleted.
	Key(ctx context.Context, id string) (Key, error)
	Keys(ctx context.Context, account string) ([]Key, error) // without secrets, oldest first; KindNotFound
}

// LogQuery selects log lines of one function.
type LogQuery struct {
	Account  string
	Function string
	Since    time.Time // zero: from the beginning
	Follow   bool      // go on until ctx ends
	Limit    int       // 0: no limit; otherwise the last Limit lines
}

// Logs keeps log lines, bounded in size and age.
type Logs interface {
	// Append stores lines of one invocation, in order. It returns when they are
	// stored (not necessarily synced).
	Append(ctx context.Context, lines []thermocline.LogLine) error
	// Settle returns when everything that Append took before survives the death
	// of the process (kill -9, not a power cut): who acknowledges an event calls
	// it first.
	Settle(ctx context.Context) error
	// Read calls each for every line in order; an error of each ends it and is
	// returned. With Follow the end of ctx is no error.
	Read(ctx context.Context, q LogQuery, each func(thermocline.LogLine) error) error
	// DeleteLogs removes the lines of a function, "" for all of the account's.
	DeleteLogs(ctx context.Context, account, function string) error
}

// Histories keeps snapshots of usage histories, one per slot (an incarnation
// of a frontend). Removing one that is not there is no error.
type Histories interface {
	SaveHistory(ctx context.Context, slot string, snapshot []byte) error
	LoadHistories(ctx context.Context) (map[string][]byte, error)
	DeleteHistory(ctx context.Context, slot string) error
}

// Store is all of it.
type Store interface {
	Functions
	Numbers
	Code
	Accounts
	Logs
	Histories
}
