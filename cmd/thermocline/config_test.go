package main

import (
	"encoding/json"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"thermocline/fleet"
)

func TestDefaultConfigIsValid(t *testing.T) {
	if err := defaultConfig("/data", "node").Validate(); err != nil {
		t.Error(err)
	}
}

// Every setting can be given as a flag, in the environment and in the file,
// and each of them wins over the one before.
func TestLayers(t *testing.T) {
	m := newMachine(t)
	file := write(t, filepath.Join(t.TempDir(), "c.yaml"), "region: from-file\nnode: from-file\nlog: {level: debug, format: json}\nkeep_alive: 7m\n")
	m.vars = append(m.vars, "THERMOCLINE_NODE=from-env", "THERMOCLINE_LOG_LEVEL=warn", "THERMOCLINE_PORT=tcp://1.2.3.4:8470")
	r := m.run(t, "config", "--json", "--config", file, "--log-level", "error", "--memory-mb", "512")
	r.want(t, 0)
	var got struct {
		Values struct {
			Region, Node string
			Log          LogConfig
			KeepAlive    string         `json:"keep_alive"`
			Provider     ProviderConfig `json:"provider"`
		}
		Origins map[string]string
	}
	if err := json.Unmarshal([]byte(r.stdout), &got); err != nil {
		t.Fatal(err)
	}
	v := got.Values
	if v.Region != "from-file" || v.Node != "from-env" || v.Log != (LogConfig{"error", "json"}) || v.KeepAlive != "7m0s" || v.Provider.MemoryMB != 512 {
		t.Errorf("values %+v", v)
	}
	want := map[string]string{"region": "file " + file, "node": "environment THERMOCLINE_NODE", "log.level": "flag --log-level", "listen": "default", "fleets": "default"}
	for key, origin := range want {
		if got.Origins[key] != origin {
			t.Errorf("%s comes from %q, want %q", key, got.Origins[key], origin)
		}
	}
}

// What config prints is a file that gives the same configuration.
func TestConfigRoundTrip(t *testing.T) {
	m := newMachine(t)
	first := m.run(t, "config", "--keep-alive", "90s", "--storage-sync=false", "--cpus", "1.5")
	first.want(t, 0, "storage.sync is off")
	file := write(t, filepath.Join(t.TempDir(), "c.yaml"), first.stdout)
	second := m.run(t, "config", "--config", file)
	second.want(t, 0)
	strip := func(s string) string {
		var lines []string
		for line := range strings.Lines(s) {
			before, _, _ := strings.Cut(line, " # ")
			lines = append(lines, strings.TrimRight(before, "\n"))
		}
		return strings.Join(lines, "\n")
	}
	if diff := cmp.Diff(strip(first.stdout), strip(second.stdout)); diff != "" {
		t.Error(diff)
	}
}

// A file's fleets replace the default ones, all of them.
func TestFleetsFromFile(t *testing.T) {
	m := newMachine(t)
	file := write(t, filepath.Join(t.TempDir(), "c.yaml"), `
keep_alive: 3m
managers_per_fleet: 3
fleets:
  - {name: busy, dispatch: direct, enter: rate_minute > 1.0, dwell: 5s, managers: 1}
  - {name: calm, dispatch: queue}
`)
	g := &globals{env: &env{vars: m.vars}}
	c := newConfigCmd(g)
	if err := c.ParseFlags([]string{"--config", file}); err != nil {
		t.Fatal(err)
	}
	l, err := g.loadConfig(c.Flags())
	if err != nil {
		t.Fatal(err)
	}
	want := fleet.Config{Fleets: []fleet.FleetConfig{
		{Name: "busy", Dispatch: "direct", Enter: "rate_minute > 1.0", Dwell: 5 * time.Second, Managers: 1, KeepAlive: 3 * time.Minute},
		{Name: "calm", Dispatch: "queue", Managers: 3, KeepAlive: 3 * time.Minute},
	}}
	if diff := cmp.Diff(want, l.fleetConfig()); diff != "" {
		t.Error(diff)
	}
}

func TestConfigFaults(t *testing.T) {
	tests := []struct {
		name string
		yaml string
		vars []string
		args []string
		want []string
	}{
		{"all at once", "listne: x\nregion: A B\nnode: _\nkeep_alive: 10\n", nil, nil,
			[]string{"listne: there is no such key", "region: ", "node: ", "keep_alive: must be from 1s", "write a unit"}},
		{"wrong types", "managers_per_fleet: many\nprovider: {cpus: few}\nfleets: [{name: a, entr: x}]\n", nil, nil,
			[]string{"managers_per_fleet", "provider.cpus", "entr"}},
		{"out of range", "", []string{"THERMOCLINE_MANAGERS_PER_FLEET=0", "THERMOCLINE_PROVIDER_MEMORY_MB=3"}, nil,
			[]string{"managers_per_fleet: must be from 1 to 64", "provider.memory_mb: must be from 256"}},
		{"no number", "", nil, []string{"--cpus", "NaN"}, []string{"provider.cpus"}},
		{"listen", "", nil, []string{"--listen", "8470"}, []string{`listen: "8470" is no host:port`}},
		{"listen port", "", nil, []string{"--listen", "127.0.0.1:99999"}, []string{"listen: "}},
		{"nats", "", nil, []string{"--nats", "nats://a,b"}, []string{`nats: "b" is no URL`}},
		{"expression", "fleets: [{name: a, dispatch: queue, enter: rate_minut > 1}, {name: b, dispatch: queue}]\n", nil, nil,
			[]string{"rate_minut", "1:"}},
		{"not YAML", "a: [", nil, nil, []string{"c.yaml"}},
		{"no file", "", nil, []string{"--config", "/nowhere.yaml"}, []string{"there is no configuration file /nowhere.yaml"}},
		{"empty runc", "", nil, []string{"--runc", ""}, []string{"runc: must be a path"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			m := newMachine(t)
			m.vars = append(m.vars, tt.vars...)
			args := append([]string{"config"}, tt.args...)
			if tt.yaml != "" {
				args = append(args, "--config", write(t, filepath.Join(t.TempDir(), "c.yaml"), tt.yaml))
			}
			m.run(t, args...).want(t, exitConfig, tt.want...)
		})
	}
}

func TestWarnings(t *testing.T) {
	for address, warn := range map[string]bool{"127.0.0.1:1": false, "[::1]:1": false, "localhost:1": false, "0.0.0.0:1": true, ":1": true, "10.0.0.1:1": true} {
		c := defaultConfig("/data", "node")
		c.Listen = address
		if got := len(c.warnings()) > 0; got != warn {
			t.Errorf("listen %s: warned %v, want %v", address, got, warn)
		}
	}
}

func TestNodeName(t *testing.T) {
	tests := map[string]string{"Host-1.example.org": "host-1", "": "node", "___": "node", "a_b": "a-b", strings.Repeat("x", 70): strings.Repeat("x", 32)}
	for host, want := range tests {
		if got := nodeName(host); got != want || !nodePattern.MatchString(got) {
			t.Errorf("nodeName(%q) = %q, want %q", host, got, want)
		}
	}
}

// Every key but data and fleets has a flag and a documented variable.
func TestSettingsAreComplete(t *testing.T) {
	m := newMachine(t)
	var got struct{ Origins map[string]string }
	if err := json.Unmarshal([]byte(m.run(t, "config", "--json").stdout), &got); err != nil {
		t.Fatal(err)
	}
	have := map[string]bool{"data": true, "fleets": true}
	for _, s := range settings() {
		have[s.key] = true
	}
	for key := range got.Origins {
		if !have[key] {
			t.Errorf("%s has no flag", key)
		}
	}
}
