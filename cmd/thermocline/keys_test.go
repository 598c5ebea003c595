package main

import (
	"path/filepath"
	"strings"
	"testing"
)

func TestKeys(t *testing.T) {
	m := newMachine(t)
	server, data := m.serve(t)
	server.on("GET /thermocline/v1/accounts/self/keys", 200, `{"keys":[`+strings.Replace(newKey, `"secret_access_key":"s3cret",`, "", 1)+`,{"access_key_id":"AKIAOLD","account":"123456789013","scope":"invoke","revoked":true}]}`)
	m.run(t, "keys", "list").want(t, 0, "AKIANEW  123456789013  admin   active   now", "AKIAOLD  123456789013  invoke  revoked  -")
	m.run(t, "keys", "list", "--json").want(t, 0, `"access_key_id": "AKIANEW"`)

	server.on("POST /thermocline/v1/accounts/self/keys", 201, newKey)
	m.run(t, "keys", "create", "--scope", "invoke").want(t, 0, "AKIANEW", "s3cret", "not shown again")
	if c := server.last(t, "POST /thermocline/v1/accounts/self/keys"); c.body != `{"scope":"invoke"}` {
		t.Errorf("sent %s", c.body)
	}
	m.run(t, "keys", "create", "--json").want(t, 0, `"secret_access_key": "s3cret"`)
	m.run(t, "keys", "create", "--export").want(t, 0, "export AWS_ACCESS_KEY_ID=AKIANEW\n", "export AWS_SECRET_ACCESS_KEY=s3cret\n", "export AWS_ENDPOINT_URL_LAMBDA=http://")
	m.run(t, "keys", "create", "--scope", "all").want(t, exitUsage, `there is no scope "all"`)

	server.on("DELETE /thermocline/v1/accounts/123456789013/keys/AKIANEW", 200, newKey)
	r := m.run(t, "keys", "revoke", "AKIANEW", "--account", "123456789013")
	r.want(t, 0, "revoked AKIANEW of the account 123456789013")
	if r.stderr != "" {
		t.Errorf("warned %q", r.stderr)
	}
	server.on("DELETE /thermocline/v1/accounts/self/keys/AKID", 200, `{"access_key_id":"AKID","account":"1","revoked":true}`)
	m.run(t, "keys", "revoke", "AKID", "--data", data).want(t, 0, "that was the key of this command itself")
}

func TestKeysImport(t *testing.T) {
	m := newMachine(t)
	server, _ := m.serve(t)
	server.on("POST /thermocline/v1/accounts/self/keys", 201, `{"access_key_id":"test","account":"000000000000","scope":"admin"}`)
	file := write(t, filepath.Join(t.TempDir(), "secret"), "of-a-file\n")
	m.vars = append(m.vars, "RIG=of-a-variable")
	for name, tt := range map[string]struct {
		stdin, secret string
		flags         []string
	}{
		"standard input": {stdin: "typed\r\n", secret: "typed"},
		"dash":           {stdin: "piped", secret: "piped", flags: []string{"--secret-file", "-"}},
		"file":           {secret: "of-a-file", flags: []string{"--secret-file", file}},
		"variable":       {secret: "of-a-variable", flags: []string{"--secret-env", "RIG"}},
	} {
		t.Run(name, func(t *testing.T) {
			m.stdin = tt.stdin
			r := m.run(t, append([]string{"keys", "import", "test"}, tt.flags...)...)
			r.want(t, 0, "imported test into the account 000000000000")
			if c := server.last(t, "POST /thermocline/v1/accounts/self/keys"); c.body != `{"scope":"admin","access_key_id":"test","secret_access_key":"`+tt.secret+`"}` {
				t.Errorf("sent %s", c.body)
			}
			if strings.Contains(r.stdout+r.stderr, tt.secret) {
				t.Errorf("the secret is shown: %s%s", r.stdout, r.stderr)
			}
		})
	}
	for name, flags := range map[string][]string{
		"nothing":        nil,
		"no such file":   {"--secret-file", file + "x"},
		"no variable":    {"--secret-env", "NOTHING"},
		"a wrong scope":  {"--scope", "root"},
		"a long one":     {"--secret-file", write(t, filepath.Join(t.TempDir(), "long"), strings.Repeat("x", 1025))},
		"an empty file":  {"--secret-file", write(t, filepath.Join(t.TempDir(), "empty"), "\n")},
		"a second given": {"secret-on-the-command-line"},
	} {
		t.Run(name, func(t *testing.T) {
			m.stdin = ""
			before := len(server.asked())
			m.run(t, append([]string{"keys", "import", "test"}, flags...)...).want(t, exitUsage)
			if len(server.asked()) != before {
				t.Error("the server was asked")
			}
		})
	}
}
