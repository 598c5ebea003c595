package client_test

import (
	"io"
	"net/http"
	"testing"

	"github.com/google/go-cmp/cmp"

	"thermocline"
	"thermocline/client"
)

func TestAccountsAndKeys(t *testing.T) {
	type asked struct{ What, Body string }
	var got asked
	answer := `{}`
	c := connect(t, func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		got = asked{r.Method + " " + r.URL.RequestURI(), string(body)}
		if r.Header.Get("Authorization") == "" {
			t.Error("not signed")
		}
		if answer == "" {
			w.WriteHeader(http.StatusNoContent)
			return
		}
		io.WriteString(w, answer)
	})
	name, limit := "blue", 7
	for _, tt := range []struct {
		want   asked
		answer string
		call   func() error
	}{
		{asked{"GET /thermocline/v1/accounts", ""}, `{}`, func() error { _, err := c.Accounts(t.Context()); return err }},
		{asked{"GET /thermocline/v1/accounts/self", ""}, `{}`, func() error { _, err := c.Account(t.Context(), client.Self); return err }},
		{asked{"POST /thermocline/v1/accounts", `{"name":"blue","concurrency":7}`}, `{}`, func() error {
			_, err := c.CreateAccount(t.Context(), client.AccountChange{Name: &name, Concurrency: &limit})
			return err
		}},
		{asked{"PATCH /thermocline/v1/accounts/a%2Fb", `{"name":"blue"}`}, `{}`, func() error {
			_, err := c.UpdateAccount(t.Context(), "a/b", client.AccountChange{Name: &name})
			return err
		}},
		{asked{"DELETE /thermocline/v1/accounts/1?functions=true", ""}, ``, func() error { return c.DeleteAccount(t.Context(), "1", true) }},
		{asked{"GET /thermocline/v1/accounts/1/keys", ""}, `{}`, func() error { _, err := c.Keys(t.Context(), "1"); return err }},
		{asked{"POST /thermocline/v1/accounts/1/keys", `{"scope":"invoke"}`}, `{}`, func() error { _, err := c.CreateKey(t.Context(), "1", "invoke"); return err }},
		{asked{"POST /thermocline/v1/accounts/1/keys", `{"scope":"admin","access_key_id":"i","secret_access_key":"s"}`}, `{}`, func() error {
			_, err := c.ImportKey(t.Context(), "1", "admin", "i", "s")
			return err
		}},
		{asked{"DELETE /thermocline/v1/accounts/1/keys/k", ""}, `{}`, func() error { _, err := c.RevokeKey(t.Context(), "1", "k"); return err }},
	} {
		answer = tt.answer
		if err := tt.call(); err != nil {
			t.Errorf("%s: %v", tt.want.What, err)
		}
		if diff := cmp.Diff(tt.want, got); diff != "" {
			t.Error(diff)
		}
	}
}

func TestConflict(t *testing.T) {
	c := connect(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("X-Amzn-Errortype", "ResourceConflictException")
		w.WriteHeader(http.StatusConflict)
		io.WriteString(w, `{"message":"taken"}`)
	})
	if _, err := c.CreateAccount(t.Context(), client.AccountChange{}); thermocline.KindOf(err) != thermocline.KindConflict {
		t.Errorf("%v", err)
	}
}
