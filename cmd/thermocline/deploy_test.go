package main

import (
	"encoding/base64"
	"encoding/json"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const (
	pathFunctions     = "/2015-03-31/functions"
	pathF             = pathFunctions + "/f"
	pathConfiguration = pathF + "/configuration"

	configurationF = `{"FunctionName":"f","FunctionArn":"arn:aws:lambda:eu-central-1:123456789012:function:f","Runtime":"python3.11","Handler":"app.handler","MemorySize":256,"Timeout":3,"State":"Active","LastUpdateStatus":"Successful","EphemeralStorage":{"Size":512}}`
	notFoundF      = `{"Type":"User","Message":"Function not found: arn:aws:lambda:eu-central-1:123456789012:function:f"}`
)

var notFoundHeader = []string{"X-Amzn-Errortype", "ResourceNotFoundException"}

func TestDeployCreates(t *testing.T) {
	m := newMachine(t)
	server, _ := m.serve(t)
	server.on("GET "+pathConfiguration, 404, notFoundF, notFoundHeader...)
	server.on("GET "+pathConfiguration, 200, configurationF)
	server.on("POST "+pathFunctions, 201, configurationF)
	server.on("GET "+pathF, 200, `{"Configuration":{"FunctionName":"f","State":"Pending"}}`)
	server.on("GET "+pathF, 200, `{"Configuration":`+configurationF+`}`)
	app := write(t, filepath.Join(t.TempDir(), "app.py"), "def handler(e, c): return e\n")

	r := m.run(t, "deploy", "f", app, "--runtime", "python3.11", "--handler", "app.handler",
		"--memory", "256", "--timeout", "1m", "--tmp", "1024", "--env", "A=1", "--env", "B=x=y,z")
	r.want(t, 0, "created f: python3.11, app.handler, 256 MB", "thermocline invoke f")

	want := []string{"GET " + pathConfiguration, "POST " + pathFunctions, "GET " + pathF, "GET " + pathF, "GET " + pathConfiguration}
	if diff := cmp.Diff(want, server.asked()); diff != "" {
		t.Error(diff)
	}
	var body struct {
		FunctionName, Runtime, Handler, Role string
		MemorySize, Timeout                  int
		EphemeralStorage                     struct{ Size int }
		Environment                          struct{ Variables map[string]string }
		Code                                 struct{ ZipFile string }
	}
	if err := json.Unmarshal([]byte(server.last(t, "POST "+pathFunctions).body), &body); err != nil {
		t.Fatal(err)
	}
	if body.Role != "arn:aws:iam::123456789012:role/thermocline" || body.MemorySize != 256 || body.Timeout != 60 || body.EphemeralStorage.Size != 1024 {
		t.Errorf("asked for %+v", body)
	}
	if diff := cmp.Diff(map[string]string{"A": "1", "B": "x=y,z"}, body.Environment.Variables); diff != "" {
		t.Error(diff)
	}
	zipped, err := base64.StdEncoding.DecodeString(body.Code.ZipFile)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(map[string]string{"app.py": "-rw-r--r-- def handler(e, c): return e\n"}, unzip(t, zipped)); diff != "" {
		t.Error(diff)
	}
}

// An update changes what was given, the configuration before the code.
func TestDeployUpdates(t *testing.T) {
	tests := []struct {
		name  string
		flags []string
		want  []string
		body  string
	}{
		{"code only", nil, []string{"GET " + pathConfiguration, "GET " + pathF, "PUT " + pathF + "/code", "GET " + pathF, "GET " + pathConfiguration}, ""},
		{"memory", []string{"--memory", "512"},
			[]string{"GET " + pathConfiguration, "GET " + pathF, "PUT " + pathConfiguration, "GET " + pathF, "PUT " + pathF + "/code", "GET " + pathF, "GET " + pathConfiguration},
			`{"MemorySize":512}`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			m := newMachine(t)
			server, _ := m.serve(t)
			server.on("GET "+pathConfiguration, 200, configurationF)
			server.on("GET "+pathF, 200, `{"Configuration":`+configurationF+`}`)
			server.on("PUT "+pathConfiguration, 200, configurationF)
			server.on("PUT "+pathF+"/code", 200, configurationF)
			app := write(t, filepath.Join(t.TempDir(), "app.py"), "x = 1\n")
			m.run(t, append([]string{"deploy", "f", app}, tt.flags...)...).want(t, 0, "updated f")
			if diff := cmp.Diff(tt.want, server.asked()); diff != "" {
				t.Error(diff)
			}
			if tt.body != "" {
				if diff := cmp.Diff(tt.body, server.last(t, "PUT "+pathConfiguration).body); diff != "" {
					t.Error(diff)
				}
			}
		})
	}
}

func TestDeployRefusals(t *testing.T) {
	dir := t.TempDir()
	app := write(t, filepath.Join(dir, "app.py"), "x = 1\n")
	empty := filepath.Join(dir, "empty")
	if err := os.Mkdir(empty, 0o700); err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		name string
		args []string
		code int
		want []string
	}{
		{"no runtime", []string{"f", app}, exitUsage, []string{"f is new and needs --runtime", "runtime list"}},
		{"no handler", []string{"f", app, "--runtime", "python3.11"}, exitUsage, []string{"f is new and needs --handler"}},
		{"no code", []string{"f", filepath.Join(dir, "missing"), "--runtime", "python3.11", "--handler", "a.b"}, exitUsage, []string{"there is no "}},
		{"empty directory", []string{"f", empty, "--runtime", "python3.11", "--handler", "a.b"}, exitUsage, []string{"has no files"}},
		{"variable without a name", []string{"f", app, "--env", "=x"}, exitUsage, []string{"KEY=VALUE"}},
		{"timeout of half a second", []string{"f", app, "--timeout", "500ms"}, exitUsage, []string{"whole number of seconds"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			m := newMachine(t)
			server, _ := m.serve(t)
			server.on("GET "+pathConfiguration, 404, notFoundF, notFoundHeader...)
			m.run(t, append([]string{"deploy"}, tt.args...)...).want(t, tt.code, tt.want...)
			for _, asked := range server.asked() {
				if asked != "GET "+pathConfiguration {
					t.Errorf("it asked %s", asked)
				}
			}
		})
	}
}

func TestDeployShowsTheServersRefusal(t *testing.T) {
	m := newMachine(t)
	server, _ := m.serve(t)
	server.on("GET "+pathConfiguration, 404, notFoundF, notFoundHeader...)
	server.on("POST "+pathFunctions, 400, `{"Type":"User","message":"nodejs24.x needs Node.js 24"}`, "X-Amzn-Errortype", "InvalidParameterValueException")
	app := write(t, filepath.Join(t.TempDir(), "index.mjs"), "export const handler = async () => 1\n")
	m.run(t, "deploy", "f", app, "--runtime", "nodejs24.x", "--handler", "index.handler").
		want(t, exitFailed, "nodejs24.x needs Node.js 24 (InvalidParameterValueException)")
}
