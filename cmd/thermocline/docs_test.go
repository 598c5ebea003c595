package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// document reads a page of docs.
func document(t *testing.T, name string) string {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join("..", "..", "docs", name))
	if err != nil {
		t.Fatal(err)
	}
	return string(raw)
}

// docs/configuration.md has a line with each key, its variable and its flag.
func TestConfigurationIsDocumented(t *testing.T) {
	page := document(t, "configuration.md")
	for _, s := range append(settings(), setting{key: "data", flag: "data"}) {
		if row := "| `" + s.key + "` | `" + variableOf(s.key) + "` | `--" + s.flag + "` |"; !strings.Contains(page, row) {
			t.Errorf("there is no line that begins with %s", row)
		}
	}
}

// docs/cli.md has a line with each command.
func TestCommandLineIsDocumented(t *testing.T) {
	page := document(t, "cli.md")
	for _, c := range newRootCmd(&env{}).Commands() {
		if !c.Hidden && !strings.Contains(page, "| `"+c.Name()) {
			t.Errorf("there is no line of %s", c.Name())
		}
	}
}
