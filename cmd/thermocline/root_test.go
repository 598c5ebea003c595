package main

import (
	"strings"
	"testing"
)

func TestUsage(t *testing.T) {
	tests := []struct {
		name string
		args []string
		code int
		want []string
	}{
		{"nothing", nil, 0, []string{"Available Commands:", "serve"}},
		{"unknown command", []string{"fleet"}, exitUsage, []string{`no command "fleet"`, "did you mean fleets?"}},
		{"unknown subcommand", []string{"runtime", "instal"}, exitUsage, []string{`no command "instal"`, "install"}},
		{"unknown flag", []string{"invoke", "f", "--paylod", "1"}, exitUsage, []string{"unknown flag: --paylod", "`thermocline invoke --help`"}},
		{"missing argument", []string{"deploy", "f"}, exitUsage, []string{"PATH is missing", "usage: thermocline deploy NAME PATH"}},
		{"surplus argument", []string{"delete", "f", "g"}, exitUsage, []string{`"g" is one argument too many`}},
		{"version", []string{"version"}, 0, []string{"thermocline "}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) { newMachine(t).run(t, tt.args...).want(t, tt.code, tt.want...) })
	}
}

// Answers are on standard output alone, errors on standard error alone.
func TestStreams(t *testing.T) {
	m := newMachine(t)
	if r := m.run(t, "version"); r.stderr != "" || r.stdout == "" {
		t.Errorf("version wrote %q to stderr, %q to stdout", r.stderr, r.stdout)
	}
	if r := m.run(t, "bogus"); r.stdout != "" || !strings.HasPrefix(r.stderr, "thermocline: ") {
		t.Errorf("an error wrote %q to stdout, %q to stderr", r.stdout, r.stderr)
	}
}

// Every command has a description, and describes each of its flags.
func TestCommandsAreDescribed(t *testing.T) {
	for _, c := range newRootCmd(&env{}).Commands() {
		if c.Short == "" || strings.HasSuffix(c.Short, ".") {
			t.Errorf("%s: short description %q", c.Name(), c.Short)
		}
	}
}
