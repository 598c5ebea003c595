package main

import (
	"strings"
	"testing"
)

const (
	blue   = `{"id":"123456789013","name":"blue","created":"2026-11-23T09:00:00Z","operator":false,"concurrency":200,"functions":2}`
	red    = `{"id":"000000000000","name":"default","created":"2026-11-22T09:00:00Z","operator":true,"concurrency":1000,"functions":0}`
	empty  = `{"id":"123456789014","name":"empty","concurrency":1000}`
	newKey = `{"access_key_id":"AKIANEW","secret_access_key":"s3cret","account":"123456789013","scope":"admin","created":"2026-11-23T10:00:00Z"}`
)

func TestAccounts(t *testing.T) {
	m := newMachine(t)
	server, _ := m.serve(t)
	server.on("GET /thermocline/v1/accounts", 200, `{"accounts":[`+red+`,`+blue+`]}`)
	m.run(t, "accounts", "list").want(t, 0, "ACCOUNT       NAME", "000000000000  default  operator  1000", "123456789013  blue     tenant    200          2          1h ago")
	m.run(t, "accounts", "list", "--json").want(t, 0, `"operator": true`)

	server.on("POST /thermocline/v1/accounts", 201, blue)
	server.on("POST /thermocline/v1/accounts/123456789013/keys", 201, newKey)
	m.run(t, "accounts", "create", "blue", "--concurrency", "200").want(t, 0, "created the account 123456789013 (blue), at most 200 executions at once", "AKIANEW", "s3cret", "not shown again")
	if c := server.last(t, "POST /thermocline/v1/accounts"); c.body != `{"name":"blue","concurrency":200}` {
		t.Errorf("sent %s", c.body)
	}
	if c := server.last(t, "POST /thermocline/v1/accounts/123456789013/keys"); c.body != `{"scope":"admin"}` {
		t.Errorf("sent %s", c.body)
	}
	before := len(server.asked())
	m.run(t, "accounts", "create", "blue", "--no-key", "--id", "123456789013", "--json").want(t, 0, `"id": "123456789013"`)
	if n := len(server.asked()); n != before+1 {
		t.Errorf("asked %d times", n-before)
	}

	server.on("PATCH /thermocline/v1/accounts/123456789013", 200, blue)
	m.run(t, "accounts", "set", "123456789013", "--concurrency", "0").want(t, 0, "at most 200")
	if c := server.last(t, "PATCH /thermocline/v1/accounts/123456789013"); c.body != `{"concurrency":0}` {
		t.Errorf("sent %s", c.body)
	}
	m.run(t, "accounts", "set", "123456789013").want(t, exitUsage, "give --name or --concurrency")
}

func TestAccountsRemove(t *testing.T) {
	m := newMachine(t)
	server, _ := m.serve(t)
	server.on("GET /thermocline/v1/accounts/123456789013", 200, blue)
	server.on("GET /thermocline/v1/accounts/123456789014", 200, empty)
	server.on("GET /thermocline/v1/accounts/1", 404, `{"Type":"User","Message":"There is no account 1."}`, notFoundHeader...)
	for _, id := range []string{"123456789013", "123456789014"} {
		server.on("DELETE /thermocline/v1/accounts/"+id, 204, "")
	}
	m.run(t, "accounts", "rm", "123456789013").want(t, exitUsage, "this would delete the account 123456789013 (blue), which has 2 functions", "add --yes")
	m.run(t, "accounts", "rm", "123456789013", "--yes").want(t, exitFailed, "has 2 functions", "--with-functions")
	m.run(t, "accounts", "rm", "1", "--yes").want(t, exitNotFound, "There is no account 1.", "thermocline accounts list")
	for _, asked := range server.asked() {
		if strings.HasPrefix(asked, "DELETE") {
			t.Errorf("asked %s", asked)
		}
	}
	m.run(t, "accounts", "rm", "123456789013", "--yes", "--with-functions").want(t, 0, "deleted the account 123456789013")
	m.run(t, "accounts", "rm", "123456789014", "--yes").want(t, 0, "deleted the account 123456789014")
	if c := server.last(t, "DELETE /thermocline/v1/accounts/123456789014"); c.query != "functions=false" {
		t.Errorf("asked with %s", c.query)
	}
	server.on("POST /thermocline/v1/accounts", 403, `{"Message":"User: x is not authorized"}`, "X-Amzn-Errortype", "AccessDeniedException")
	m.run(t, "accounts", "create", "x").want(t, exitFailed, "not authorized", "thermocline env --data DIR")
}
