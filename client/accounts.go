package client

import (
	"context"
	"net/http"
	"net/url"
	"strconv"
	"time"
)

// Self names the account of the client's own key.
const Self = "self"

// Account is a tenant.
type Account struct {
	ID          string    `json:"id"`
	Name        string    `json:"name"`
	Created     time.Time `json:"created"`
	Operator    bool      `json:"operator"`          // its admin keys manage accounts
	Concurrency int       `json:"concurrency"`       // executions at once
	Functions   int       `json:"functions"`         // how many there are
	Closing     string    `json:"closing,omitempty"` // set while it is being deleted
}

// Accounts returns all accounts, to the operator's keys, or the key's own.
func (c *Client) Accounts(ctx context.Context) ([]Account, error) {
	var body struct {
		Accounts []Account `json:"accounts"`
	}
	err := c.get(ctx, "/accounts", nil, true, &body)
	return body.Accounts, err
}

// Account returns one account. KindNotFound.
func (c *Client) Account(ctx context.Context, id string) (Account, error) {
	var a Account
	err := c.get(ctx, accountPath(id), nil, true, &a)
	return a, err
}

// AccountChange is what may be said of an account; nil leaves it as it is.
type AccountChange struct {
	ID          string  `json:"id,omitempty"` // of a new one; drawn when empty
	Name        *string `json:"name,omitempty"`
	Concurrency *int    `json:"concurrency,omitempty"` // 0: the server's default
}

// CreateAccount makes an account without keys. KindConflict when the id is
// taken, KindAccessDenied to others than the operator.
func (c *Client) CreateAccount(ctx context.Context, with AccountChange) (Account, error) {
	var a Account
	err := c.call(ctx, http.MethodPost, "/accounts", nil, with, true, &a)
	return a, err
}

// UpdateAccount changes an account. KindNotFound.
func (c *Client) UpdateAccount(ctx context.Context, id string, change AccountChange) (Account, error) {
	var a Account
	err := c.call(ctx, http.MethodPatch, accountPath(id), nil, change, true, &a)
	return a, err
}

// DeleteAccount deletes an account with its keys. KindConflict when it has
// functions and they are not to go with it. What has begun is finished by the
// server, also when the call is given up.
func (c *Client) DeleteAccount(ctx context.Context, id string, withFunctions bool) error {
	query := url.Values{"functions": {strconv.FormatBool(withFunctions)}}
	return c.call(ctx, http.MethodDelete, accountPath(id), query, nil, true, nil)
}

// Key is an access key.
type Key struct {
	ID      string    `json:"access_key_id"`
	Secret  string    `json:"secret_access_key,omitempty"` // of CreateKey's answer only
	Account string    `json:"account"`
	Scope   string    `json:"scope"` // "admin" or "invoke"
	Created time.Time `json:"created"`
	Revoked bool      `json:"revoked"`
}

// Keys returns the keys of an account, oldest first. KindNotFound.
func (c *Client) Keys(ctx context.Context, account string) ([]Key, error) {
	var body struct {
		Keys []Key `json:"keys"`
	}
	err := c.get(ctx, accountPath(account)+"/keys", nil, true, &body)
	return body.Keys, err
}

type keyRequest struct {
	Scope  string `json:"scope"`
	ID     string `json:"access_key_id,omitempty"`
	Secret string `json:"secret_access_key,omitempty"`
}

// CreateKey makes a key. Its secret is in the answer and never again.
func (c *Client) CreateKey(ctx context.Context, account, scope string) (Key, error) {
	return c.newKey(ctx, account, keyRequest{Scope: scope})
}

// ImportKey takes over a key pair that exists elsewhere. KindConflict when the
// id is taken, by whichever account.
func (c *Client) ImportKey(ctx context.Context, account, scope, id, secret string) (Key, error) {
	return c.newKey(ctx, account, keyRequest{Scope: scope, ID: id, Secret: secret})
}

func (c *Client) newKey(ctx context.Context, account string, r keyRequest) (Key, error) {
	var k Key
	err := c.call(ctx, http.MethodPost, accountPath(account)+"/keys", nil, r, true, &k)
	return k, err
}

// RevokeKey makes a key worthless; once more is no error. KindNotFound when the
// account has no such key, KindConflict for the operator's last admin key.
func (c *Client) RevokeKey(ctx context.Context, account, id string) (Key, error) {
	var k Key
	err := c.call(ctx, http.MethodDelete, accountPath(account)+"/keys/"+url.PathEscape(id), nil, nil, true, &k)
	return k, err
}

func accountPath(id string) string { return "/accounts/" + url.PathEscape(id) }
