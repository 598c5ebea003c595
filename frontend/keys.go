package frontend

import (
	"log/slog"
	"net/http"
	"regexp"
	"time"

	"thermocline"
	"thermocline/store"
)

const (
	maxKeys    = 100 // of an account that are not revoked
	maxRevoked = 100 // of an account that are remembered
)

var (
	keyIDRE  = regexp.MustCompile(`^[A-Za-z0-9_-]{3,128}$`) // no slash: the scope of a signature has them
	secretRE = regexp.MustCompile(`^[\x21-\x7e]{4,256}$`)
)

// keyAnswer is a key as the own API shows it.
type keyAnswer struct {
	ID      string    `json:"access_key_id"`
	Secret  string    `json:"secret_access_key,omitempty"` // once, when it was made here
	Account string    `json:"account"`
	Scope   string    `json:"scope"`
	Created time.Time `json:"created"`
	Revoked bool      `json:"revoked"`
}

func answerKey(k store.Key) keyAnswer {
	return keyAnswer{ID: k.ID, Account: k.Account, Scope: string(k.Scope), Created: k.Created, Revoked: k.Revoked}
}

// listKeys lists the keys of an account, without secrets.
func (q *request) listKeys() error {
	a, err := q.account()
	if err != nil {
		return err
	}
	keys, err := q.server.opts.Store.Keys(q.r.Context(), a.ID)
	if err != nil {
		return err
	}
	answer := struct {
		Keys []keyAnswer `json:"keys"`
	}{Keys: []keyAnswer{}}
	for _, k := range keys {
		answer.Keys = append(answer.Keys, answerKey(k))
	}
	return q.reply(http.StatusOK, answer)
}

// createKey makes a key, or takes one over that the caller gives. Only the
// operator may do the latter: ids are shared by all accounts.
func (q *request) createKey() error {
	a, err := q.account()
	if err != nil {
		return err
	}
	var in struct {
		Scope  string `json:"scope"`
		ID     string `json:"access_key_id"`
		Secret string `json:"secret_access_key"`
	}
	if err := q.decode(&in); err != nil {
		return err
	}
	scope := store.Scope(in.Scope)
	if scope != store.ScopeAdmin && scope != store.ScopeInvoke {
		return invalid("The scope of a key is admin or invoke, not %q.", in.Scope)
	}
	k := store.NewKey(a.ID, scope, q.now)
	imported := in.ID != "" || in.Secret != ""
	if imported {
		if err := q.mustBeOperator(); err != nil {
			return err
		}
		switch {
		case !keyIDRE.MatchString(in.ID):
			return invalid("An access key id has 3 to 128 letters, digits, - and _.")
		case !secretRE.MatchString(in.Secret):
			return invalid("A secret access key has 4 to 256 printable ASCII characters without spaces.")
		}
		k.ID, k.Secret = in.ID, in.Secret
	}
	if err := q.makeRoom(a.ID); err != nil {
		return err
	}
	if err := q.server.opts.Store.CreateKey(q.r.Context(), k); err != nil {
		return err
	}
	q.server.opts.Logger.Info("access key created", slog.String("account", a.ID), slog.String("key", k.ID), slog.String("scope", string(k.Scope)), slog.String("by", q.identity.KeyID))
	answer := answerKey(k)
	if !imported {
		answer.Secret = k.Secret
	}
	return q.reply(http.StatusCreated, answer)
}

// makeRoom bounds the keys of an account: of those that are revoked the oldest
// are forgotten.
func (q *request) makeRoom(account string) error {
	keys, err := q.server.opts.Store.Keys(q.r.Context(), account)
	if err != nil {
		return err
	}
	var revoked []store.Key
	for _, k := range keys {
		if k.Revoked {
			revoked = append(revoked, k)
		}
	}
	if len(keys)-len(revoked) >= maxKeys {
		return thermocline.Errorf(thermocline.KindConflict, "The account %s has %d keys. Revoke one first.", account, maxKeys)
	}
	for len(revoked) > maxRevoked {
		if err := q.server.opts.Store.DeleteKey(q.r.Context(), account, revoked[0].ID); err != nil && !isKind(err, thermocline.KindNotFound) {
			return err
		}
		revoked = revoked[1:]
	}
	return nil
}

// revokeKey makes a key worthless. The operator's last admin key stays: without
// it nobody could make another. (Two at once may revoke the last two; the next
// start of a server makes a new one then.)
func (q *request) revokeKey() error {
	a, err := q.account()
	if err != nil {
		return err
	}
	keys, err := q.server.opts.Store.Keys(q.r.Context(), a.ID)
	if err != nil {
		return err
	}
	others := 0
	for _, k := range keys {
		if k.ID != q.path[1] && !k.Revoked && k.Scope == store.ScopeAdmin {
			others++
		}
	}
	if a.Operator && others == 0 {
		for _, k := range keys {
			if k.ID == q.path[1] && !k.Revoked && k.Scope == store.ScopeAdmin {
				return thermocline.Errorf(thermocline.KindConflict, "%s is the operator's last admin key. Create another one first.", k.ID)
			}
		}
	}
	k, err := q.server.opts.Store.RevokeKey(q.r.Context(), a.ID, q.path[1])
	if err != nil {
		return err
	}
	q.server.opts.Logger.Info("access key revoked", slog.String("account", a.ID), slog.String("key", k.ID), slog.String("by", q.identity.KeyID))
	return q.reply(http.StatusOK, answerKey(k))
}
