package main

import (
	"encoding/json"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestEnv(t *testing.T) {
	m := newMachine(t)
	data := t.TempDir()
	write(t, filepath.Join(data, credentialsFile), `{"endpoint":"http://127.0.0.1:8470","access_key_id":"AKID","secret_access_key":"a+b/c d","region":"eu-west-1","account":"123456789012"}`)
	// The environment is what this command makes, not where it looks.
	m.vars = append(m.vars, "AWS_ENDPOINT_URL_LAMBDA=http://other", "AWS_ACCESS_KEY_ID=x", "AWS_SECRET_ACCESS_KEY=y")

	want := `export AWS_ENDPOINT_URL_LAMBDA=http://127.0.0.1:8470
export AWS_ACCESS_KEY_ID=AKID
export AWS_SECRET_ACCESS_KEY='a+b/c d'
export AWS_REGION=eu-west-1
export AWS_DEFAULT_REGION=eu-west-1
unset AWS_SESSION_TOKEN
`
	if diff := cmp.Diff(want, m.run(t, "env", "--data", data).stdout); diff != "" {
		t.Error(diff)
	}
	var got Credentials
	if err := json.Unmarshal([]byte(m.run(t, "env", "--data", data, "--json").stdout), &got); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(Credentials{"http://127.0.0.1:8470", "AKID", "a+b/c d", "eu-west-1", "123456789012"}, got); diff != "" {
		t.Error(diff)
	}
}

func TestEnvWithoutServer(t *testing.T) {
	newMachine(t).run(t, "env", "--data", "/nowhere").want(t, exitUnreachable, "no server has run on /nowhere", "thermocline serve --data /nowhere")
}
