package main

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

// workerdVersion is the package that is compared with, from npm as it is
// configured; npm checks its integrity.
const workerdVersion = "1.20261117.1"

// workerd is a running workerd.
type workerd struct {
	process *process
	addr    string
}

// installWorkerd returns the program, from the user's cache or npm.
func installWorkerd(ctx context.Context) (string, error) {
	cache, err := os.UserCacheDir()
	if err != nil {
		return "", err
	}
	dir := filepath.Join(cache, "thermocline", "bench", "workerd-"+workerdVersion)
	find := func() string {
		// npm's bin is a script that starts this one.
		found, _ := filepath.Glob(filepath.Join(dir, "node_modules", "@cloudflare", "workerd-*", "bin", "workerd"))
		if len(found) == 0 {
			return ""
		}
		return found[0]
	}
	if program := find(); program != "" {
		return program, nil
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", err
	}
	ctx, cancel := context.WithTimeout(ctx, 3*time.Minute)
	defer cancel()
	npm := exec.CommandContext(ctx, "npm", "install", "--no-audit", "--no-fund", "--ignore-scripts", "--loglevel=error", "--prefix", dir, "workerd@"+workerdVersion)
	if _, err := npm.CombinedOutput(); err != nil {
		_ = os.RemoveAll(dir)
		// What npm says may name the registry.
		return "", fmt.Errorf("npm install workerd@%s: %w", workerdVersion, err)
	}
	if program := find(); program != "" {
		return program, nil
	}
	return "", fmt.Errorf("workerd@%s has no program for this machine", workerdVersion)
}

const workerdConfig = `using Workerd = import "/workerd/workerd.capnp";
const config :Workerd.Config = (
  services = [(name = "main", worker = .greeter)],
  sockets = [(name = "http", http = (), service = "main")],
);
const greeter :Workerd.Worker = (
  modules = [(name = "main.mjs", esModule = embed "main.mjs")],
  compatibilityDate = "2024-09-23",
);
`

// workerdModule gives the answer of examples/nodejs.
const workerdModule = `export default {
  async fetch(request) {
    const event = await request.json();
    const name = event?.name ?? "world";
    console.log(` + "`greeting ${name}`" + `);
    return Response.json({ greeting: ` + "`Hello, ${name}, from Node.js VERSION!`" + ` });
  },
};
`

// startWorkerd starts one with a free port.
func startWorkerd(program, tmp, nodeVersion string) (*workerd, error) {
	dir, err := os.MkdirTemp(tmp, "workerd-")
	if err != nil {
		return nil, err
	}
	module := strings.Replace(workerdModule, "VERSION", nodeVersion, 1)
	for name, content := range map[string]string{"config.capnp": workerdConfig, "main.mjs": module} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o644); err != nil {
			return nil, err
		}
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	defer l.Close()
	file, err := l.(*net.TCPListener).File()
	if err != nil {
		return nil, err
	}
	defer file.Close()
	cmd := exec.Command(program, "serve", filepath.Join(dir, "config.capnp"), "--socket-fd", "http=3")
	cmd.ExtraFiles = []*os.File{file}
	w := &workerd{addr: l.Addr().String()}
	w.process, err = start(cmd)
	return w, err
}

func (w *workerd) stop() {
	_ = w.process.stop(5 * time.Second) // it ends by the signal
}

// target sends what the platform gets too.
func (w *workerd) target(p *platform, name string) target {
	t := p.target(name, answerPart)
	t.addr = w.addr
	return t
}
