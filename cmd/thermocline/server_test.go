package main

import (
	"net"
	"path/filepath"
	"testing"
)

func TestServerDiscovery(t *testing.T) {
	fromEnvironment := []string{"AWS_ENDPOINT_URL_LAMBDA=http://env:1/", "AWS_ACCESS_KEY_ID=envkey", "AWS_SECRET_ACCESS_KEY=s"}
	tests := []struct {
		name         string
		vars         []string
		flag         bool
		home         bool
		wantEndpoint string
		wantKey      string
		wantRegion   string
		wantCode     int
	}{
		{name: "flag before environment", vars: fromEnvironment, flag: true, wantEndpoint: "http://data", wantKey: "datakey", wantRegion: "us-east-1"},
		{name: "environment before home", vars: fromEnvironment, home: true, wantEndpoint: "http://env:1", wantKey: "envkey", wantRegion: "us-east-1"},
		{name: "region from the environment", vars: append(fromEnvironment[:3:3], "AWS_DEFAULT_REGION=eu-west-1"), wantEndpoint: "http://env:1", wantKey: "envkey", wantRegion: "eu-west-1"},
		{name: "general endpoint", vars: []string{"AWS_ENDPOINT_URL=http://all", "AWS_ACCESS_KEY_ID=k", "AWS_SECRET_ACCESS_KEY=s"}, wantEndpoint: "http://all", wantKey: "k", wantRegion: "us-east-1"},
		{name: "keys without an endpoint are somebody else's", vars: fromEnvironment[1:], home: true, wantEndpoint: "http://data", wantKey: "datakey", wantRegion: "us-east-1"},
		{name: "home", home: true, wantEndpoint: "http://data", wantKey: "datakey", wantRegion: "us-east-1"},
		{name: "nothing", wantCode: exitUnreachable},
		{name: "endpoint without keys", vars: fromEnvironment[:1], home: true, wantCode: exitUsage},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			dir := t.TempDir()
			data := filepath.Join(dir, ".thermocline")
			g := &globals{env: &env{vars: tt.vars}}
			if tt.flag {
				g.data = data
			}
			if tt.home {
				g.env.vars = append([]string{"HOME=" + dir}, tt.vars...)
			} else {
				g.env.vars = append([]string{"HOME=" + filepath.Join(dir, "other")}, tt.vars...)
			}
			write(t, filepath.Join(data, credentialsFile), `{"endpoint":"http://data","access_key_id":"datakey","secret_access_key":"s"}`)
			s, err := g.server()
			if tt.wantCode != 0 {
				if err == nil || explainError(err).code != tt.wantCode {
					t.Fatalf("error %v, want one with exit code %d", err, tt.wantCode)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if s.Endpoint != tt.wantEndpoint || s.AccessKeyID != tt.wantKey || s.Region != tt.wantRegion {
				t.Errorf("%s with %s in %s, want %s with %s in %s", s.Endpoint, s.AccessKeyID, s.Region, tt.wantEndpoint, tt.wantKey, tt.wantRegion)
			}
		})
	}
}

func TestNoServer(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := l.Addr().String()
	l.Close()
	m := newMachine(t)
	data := t.TempDir()
	write(t, filepath.Join(data, credentialsFile), `{"endpoint":"http://`+address+`","access_key_id":"k","secret_access_key":"s"}`)
	for _, args := range [][]string{
		{"invoke", "f"}, {"functions"}, {"delete", "f"}, {"explain", "f"}, {"fleets"}, {"logs", "f"},
		{"deploy", "f", data, "--runtime", "python3.11", "--handler", "a.b"},
	} {
		t.Run(args[0], func(t *testing.T) {
			r := m.run(t, append(args, "--data", data)...)
			r.want(t, exitUnreachable, "no server answers at http://"+address, "thermocline serve --data "+data)
		})
	}
}

func TestDamagedCredentials(t *testing.T) {
	for _, content := range []string{"", "{", `{"endpoint":"http://x"}`} {
		data := t.TempDir()
		write(t, filepath.Join(data, credentialsFile), content)
		newMachine(t).run(t, "env", "--data", data).want(t, exitFailed, "is damaged", "start the server again")
	}
}

func TestQuote(t *testing.T) {
	tests := map[string]string{"": "''", "plain-1.2/x": "plain-1.2/x", "a b": "'a b'", "a'b": `'a'\''b'`, "$HOME": "'$HOME'"}
	for in, want := range tests {
		if got := quote(in); got != want {
			t.Errorf("quote(%q) = %s, want %s", in, got, want)
		}
	}
}
