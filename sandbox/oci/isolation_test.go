package oci_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"thermocline"
	"thermocline/sandbox"
	"thermocline/sandbox/oci"
	"thermocline/sandbox/sandboxtest"
)

// cell is a sandbox of the suite's program in which commands are run.
type cell struct {
	t testing.TB
	s sandbox.Sandbox

	mu    sync.Mutex
	lines []string
}

// newCell starts a sandbox; change changes the function first.
func newCell(t testing.TB, rt *oci.Runtime, id, runtime, code string, change func(*sandbox.Binding)) *cell {
	t.Helper()
	c := &cell{t: t}
	b := sandbox.Binding{Function: testFunction(runtime), CodeDir: code}
	if change != nil {
		change(&b)
	}
	s, err := rt.Start(t.Context(), sandbox.Spec{
		ID: id, Runtime: runtime, MemoryMB: b.Function.MemoryMB, Binding: &b,
		Output: func(l sandbox.Line) { c.mu.Lock(); c.lines = append(c.lines, l.Text); c.mu.Unlock() },
	}, "")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
	})
	c.s = s
	return c
}

func (c *cell) invoke(action string, value any, timeout time.Duration) sandbox.Outcome {
	c.t.Helper()
	payload, err := json.Marshal(map[string]any{"do": action, "value": value, "status": 0})
	if err != nil {
		c.t.Fatal(err)
	}
	out, err := c.s.Invoke(c.t.Context(), sandbox.Invocation{RequestID: "r-1", Payload: payload, Timeout: timeout})
	if err != nil {
		c.t.Fatal(err)
	}
	return out
}

// shell runs a command inside and returns what it wrote.
func (c *cell) shell(script string) (out string, status int) {
	c.t.Helper()
	o := c.invoke("shell", script, 30*time.Second)
	var r struct {
		Status   int
		Out, Err string
	}
	if o.Failure != "" || json.Unmarshal(o.Payload, &r) != nil {
		c.t.Fatalf("%s: %s %s", script, o.Failure, o.Payload)
	}
	return strings.TrimSpace(r.Out + r.Err), r.Status
}

func TestIsolation(t *testing.T) {
	t.Parallel()
	requireHost(t, "python3.11")
	rt := newRuntime(t, config(t))
	c := newCell(t, rt, "isolated", "python3.11", sandboxtest.WriteProgram(t, "python3.11"), nil)
	secret := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(secret, []byte("secret"), 0o644); err != nil {
		t.Fatal(err)
	}
	for name, test := range map[string]struct{ script, want string }{
		"user":           {"id -u; id -g; id -un", "993\n990\nsbx_user1051"},
		"groups":         {"id -G", "990"},
		"capabilities":   {"grep -E '^Cap(Inh|Prm|Eff|Bnd|Amb)' /proc/self/status | grep -vc 0000000000000000", "0"},
		"privileges":     {"grep NoNewPrivs /proc/self/status", "NoNewPrivs:\t1"},
		"seccomp":        {"grep '^Seccomp:' /proc/self/status", "Seccomp:\t2"},
		"files":          {"ulimit -n; ulimit -Hn", "1024\n1024"},
		"root":           {"ls /home/* /mnt /root /run /srv /work /media /var/tmp /sys 2>/dev/null | grep -v : | grep -c .", "0"},
		"var":            {"ls /var", "lang\nruntime\ntask\ntmp"},
		"dev":            {"ls /dev | tr '\\n' ' '", "fd full null ptmx random shm stderr stdin stdout tty urandom zero"},
		"host file":      {"cat " + secret + " 2>&1 | grep -c secret$", "0"},
		"interfaces":     {"tail -n +3 /proc/net/dev | cut -d: -f1", "lo"},
		"own processes":  {"ls /proc | grep -c '^[0-9]*$' | xargs test 8 -gt && echo few", "few"},
		"cgroup":         {"grep -v ':/$' /proc/self/cgroup | grep -c .", "0"},
		"code":           {"touch /var/task/x 2>&1 | grep -o 'Read-only file system'", "Read-only file system"},
		"usr":            {"touch /usr/x 2>&1 | grep -o 'Read-only file system'", "Read-only file system"},
		"etc":            {"touch /etc/x 2>&1 | grep -o 'Read-only file system'", "Read-only file system"},
		"layers":         {"touch /opt/x 2>&1 | grep -o 'Read-only file system'", "Read-only file system"},
		"sysctl":         {"(echo 1 > /proc/sys/kernel/panic) 2>/dev/null || echo refused", "refused"},
		"kernel memory":  {"wc -c < /proc/kallsyms", "0"},
		"tmp":            {"stat -c '%U %a' /tmp; mount | grep ' /tmp ' | grep -o 'nosuid,nodev'", "sbx_user1051 700\nnosuid,nodev"},
		"tmp listing":    {"ls -A /tmp | grep -c .", "0"},
		"new user ns":    {"unshare -U true 2>/dev/null || echo refused", "refused"},
		"new mount ns":   {"unshare -m true 2>/dev/null || echo refused", "refused"},
		"mount":          {"mount -t tmpfs x /tmp 2>/dev/null || echo refused", "refused"},
		"standard files": {"echo a > /dev/stdout; echo b > /dev/stderr", "a\nb"},
		"shared memory":  {"echo x > /dev/shm/x && cat /dev/shm/x; rm /dev/shm/x", "x"},
		"name":           {"hostname", "thermocline"},
		"clock":          {"date -d @0 +%Z%H", "UTC00"},
		"certificates":   {"test -r /etc/ssl/certs/ca-certificates.crt && test -L /etc/ssl/certs/ca-certificates.crt -o -s /etc/ssl/certs/ca-certificates.crt && echo there || ls /etc/ssl/certs | head -1", certificatesWant()},
	} {
		t.Run(name, func(t *testing.T) {
			c.t = t
			if got, _ := c.shell(test.script); strings.TrimSpace(got) != test.want {
				t.Errorf("%s:\n%q, want\n%q", test.script, got, test.want)
			}
		})
	}
}

func certificatesWant() string {
	if _, err := os.Stat("/etc/ssl/certs/ca-certificates.crt"); err != nil {
		return ""
	}
	return "there"
}

// What no function may call, by number on this architecture, and by name in
// what it prints.
const probe = `
import ctypes, errno, os, platform
libc = ctypes.CDLL(None, use_errno=True)
x86 = platform.machine() == "x86_64"
calls = {
    "bpf": (321 if x86 else 280, 0, 0, 0), "userfaultfd": (323 if x86 else 282, 0, 0, 0),
    "io_uring_setup": (425, 8, 0, 0), "add_key": (248 if x86 else 217, 0, 0, 0),
    "keyctl": (250 if x86 else 219, 0, -3, 0), "ptrace": (101 if x86 else 117, 0, 0, 0),
    "process_vm_readv": (310 if x86 else 270, os.getpid(), 0, 0), "perf_event_open": (298 if x86 else 241, 0, 0, 0),
    "mount": (165 if x86 else 40, 0, 0, 0), "open_tree": (428, -100, 0, 0), "move_mount": (429, 0, 0, 0),
    "fsopen": (430, 0, 0, 0), "unshare": (272 if x86 else 97, 0x10000000, 0, 0), "setns": (308 if x86 else 268, 0, 0, 0),
    "clone(NEWUSER)": (56 if x86 else 220, 0x10000000 | 17, 0, 0), "clone(NEWNS)": (56 if x86 else 220, 0x20000 | 17, 0, 0),
    "clone3": (435, 0, 0, 0), "socket(PACKET)": (41 if x86 else 198, 17, 3, 0), "socket(VSOCK)": (41 if x86 else 198, 40, 1, 0),
    "socket(ALG)": (41 if x86 else 198, 38, 5, 0), "open_by_handle_at": (304 if x86 else 265, 0, 0, 0),
    "name_to_handle_at": (303 if x86 else 264, 0, 0, 0), "fanotify_init": (300 if x86 else 262, 0, 0, 0),
    "init_module": (175 if x86 else 105, 0, 0, 0), "kexec_load": (246 if x86 else 104, 0, 0, 0), "reboot": (169 if x86 else 142, 0, 0, 0),
    "swapon": (167 if x86 else 224, 0, 0, 0), "syslog": (103 if x86 else 116, 3, 0, 0), "chroot": (161 if x86 else 51, 0, 0, 0),
    "pivot_root": (155 if x86 else 41, 0, 0, 0), "acct": (163 if x86 else 89, 0, 0, 0), "settimeofday": (164 if x86 else 170, 0, 0, 0),
    "pidfd_getfd": (438, 0, 0, 0), "kcmp": (312 if x86 else 272, 1, 1, 0), "quotactl": (179 if x86 else 60, 0, 0, 0),
    "memfd_secret": (447, 0, 0, 0), "landlock_create_ruleset": (444, 0, 0, 0),
}
allowed = []
for name, (number, a, b, c) in calls.items():
    ctypes.set_errno(0)
    r = libc.syscall(ctypes.c_long(number), ctypes.c_long(a), ctypes.c_long(b), ctypes.c_long(c), 0, 0)
    if r == 0 and name.startswith("clone"):
        pass  # perhaps in the child: both say so
    if r >= 0 or ctypes.get_errno() not in (errno.EPERM, errno.ENOSYS):
        allowed.append("%s: %d %s" % (name, r, os.strerror(ctypes.get_errno())))
print("; ".join(allowed) or "all refused")
`

func TestSystemCalls(t *testing.T) {
	t.Parallel()
	requireHost(t, "python3.11")
	rt := newRuntime(t, config(t))
	code := sandboxtest.WriteProgram(t, "python3.11")
	if err := os.WriteFile(filepath.Join(code, "probe.py"), []byte(probe), 0o644); err != nil {
		t.Fatal(err)
	}
	c := newCell(t, rt, "calls", "python3.11", code, nil)
	if got, status := c.shell("/usr/bin/python3.11 /var/task/probe.py"); got != "all refused" || status != 0 {
		t.Errorf("status %d, not refused: %s", status, got)
	}
	// What functions need, and a profile that is too narrow breaks.
	for _, script := range []string{
		"python3.11 -c 'import multiprocessing as m; print(m.Pool(2).map(abs, [-1, -2]))'",
		"python3.11 -c 'import asyncio; asyncio.run(asyncio.sleep(0)); print([1, 2])'",
		"python3.11 -c 'import socket; socket.getaddrinfo(\"localhost\", 80); socket.socketpair(); print([1, 2])'",
	} {
		if got, _ := c.shell(script); got != "[1, 2]" {
			t.Errorf("%s: %s", script, got)
		}
	}
}

func TestLimits(t *testing.T) {
	t.Parallel()
	requireHost(t, "python3.11")
	rt := newRuntime(t, config(t))
	c := newCell(t, rt, "limited", "python3.11", sandboxtest.WriteProgram(t, "python3.11"), nil)

	// /tmp is 512 MB in a sandbox of 128 MB of memory: full is an error.
	out, status := c.shell("dd if=/dev/zero of=/tmp/big bs=1M count=200 2>&1; fallocate -l 280M /tmp/more; dd if=/dev/zero of=/tmp/full bs=1M count=100 2>&1; rm /tmp/big; echo x > /tmp/x && cat /tmp/x")
	if !strings.Contains(out, "No space left on device") || !strings.HasSuffix(out, "x") || status != 0 {
		t.Errorf("filling /tmp: %d, %s", status, out)
	}
	if n := c.invoke("count", nil, time.Second); string(n.Payload) != "1" {
		t.Errorf("after it the process answers %s", n.Payload)
	}

	// A thousand processes and no more; they do not survive the timeout.
	forks := `i=0; while [ $i -lt 1200 ]; do sleep 100 & i=$((i+1)); done 2>/dev/null; wait`
	if o := c.invoke("shell", forks, 2*time.Second); o.Failure != sandbox.FailureTimeout {
		t.Logf("forks: %s %s", o.Failure, o.Payload)
	}
	pids := glob(t, "/sys/fs/cgroup/pids/thermocline-test-*/limited/pids.max")
	pids = append(pids, glob(t, "/sys/fs/cgroup/thermocline-test-*/limited/pids.max")...)
	for _, p := range pids {
		if data, err := os.ReadFile(p); err != nil || strings.TrimSpace(string(data)) != "1024" {
			t.Errorf("%s: %s, %v", p, data, err)
		}
	}
	if n := c.invoke("count", nil, 10*time.Second); n.Failure != "" {
		t.Errorf("after a fork bomb: %s %s", n.Failure, n.Payload)
	}
}

func TestOwnIDs(t *testing.T) {
	t.Parallel()
	requireHost(t, "python3.11")
	cfg := config(t)
	rt := newRuntime(t, cfg)
	code := sandboxtest.WriteProgram(t, "python3.11")
	var seen []string
	for i := range 3 {
		c := newCell(t, rt, fmt.Sprintf("own-%d", i), "python3.11", code, nil)
		got, _ := c.shell("cat /proc/self/uid_map /proc/self/gid_map | tr -s ' ' | cut -d' ' -f3 | tr '\\n' ' '")
		for _, id := range strings.Fields(got)[:2] {
			if slices.Contains(seen, id) || len(id) != 10 {
				t.Errorf("the host id %s is not one's own (%v)", id, seen)
			}
			seen = append(seen, id)
		}
	}
}

func TestLayersAndWrapper(t *testing.T) {
	t.Parallel()
	requireHost(t, "python3.11")
	rt := newRuntime(t, config(t))
	first, second := layer(t, map[string]string{"a": "1", "dir/b": "1"}), layer(t, map[string]string{"dir/b": "2", "dir/c": "2"})
	wrapper := filepath.Join(second, "wrapper")
	if err := os.WriteFile(wrapper, []byte("#!/bin/sh\nexport WRAPPED=yes\nexec \"$@\"\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	c := newCell(t, rt, "layered", "python3.11", sandboxtest.WriteProgram(t, "python3.11"), func(b *sandbox.Binding) {
		b.LayerDirs = []string{first, second}
		b.Function.Environment = map[string]string{"AWS_LAMBDA_EXEC_WRAPPER": "/opt/wrapper", "PYTHONDONTWRITEBYTECODE": "1"}
	})
	if got, _ := c.shell("cat /opt/a /opt/dir/b /opt/dir/c; echo $WRAPPED; touch /opt/x 2>/dev/null || echo ro"); got != "122yes\nro" {
		t.Errorf("got %q", got)
	}
}

func layer(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	for name, text := range files {
		if err := os.MkdirAll(filepath.Join(dir, filepath.Dir(name)), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// What an interpreter reads when it starts reaches it in both ways of binding.
func TestReadAtStart(t *testing.T) {
	t.Parallel()
	requireHost(t, "nodejs20.x")
	rt := newRuntime(t, config(t))
	code := sandboxtest.WriteProgram(t, "nodejs20.x")
	env := map[string]string{"NODE_OPTIONS": "--require /var/task/early.js"}
	if err := os.WriteFile(filepath.Join(code, "early.js"), []byte(`process.env.EARLY = 'yes'`), 0o644); err != nil {
		t.Fatal(err)
	}
	fn := testFunction("nodejs20.x")
	fn.Environment = env
	s, err := rt.Start(t.Context(), sandbox.Spec{ID: "late", Runtime: "nodejs20.x", MemoryMB: 128}, "")
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Specialise(t.Context(), sandbox.Binding{Function: fn, CodeDir: code}); err != nil {
		t.Fatal(err)
	}
	late := &cell{t: t, s: s}
	early := newCell(t, rt, "early", "nodejs20.x", code, func(b *sandbox.Binding) { b.Function.Environment = env })
	for name, c := range map[string]*cell{"specialised": late, "full": early} {
		if got, _ := c.shell("echo $EARLY"); got != "yes" {
			t.Errorf("%s: %q", name, got)
		}
	}
}

func TestNoEntrypoint(t *testing.T) {
	t.Parallel()
	requireHost(t, "provided.al2023")
	rt := newRuntime(t, config(t))
	for name, make := range map[string]func(file string) error{
		"missing":        func(string) error { return nil },
		"not executable": func(f string) error { return os.WriteFile(f, []byte("#!/bin/sh\n"), 0o644) },
		"no program":     func(f string) error { return os.WriteFile(f, []byte("hello"), 0o755) },
		"link outside":   func(f string) error { return os.Symlink("/bin/sh", f) },
		"directory":      func(f string) error { return os.Mkdir(f, 0o755) },
	} {
		t.Run(name, func(t *testing.T) {
			dir := layer(t, nil)
			if err := make(filepath.Join(dir, "bootstrap")); err != nil {
				t.Fatal(err)
			}
			c := newCell(t, rt, "no-entrypoint", "provided.al2023", dir, nil)
			o := c.invoke("count", nil, time.Second)
			const want = `{"errorType":"Runtime.InvalidEntrypoint","errorMessage":"RequestId: r-1 Error: Couldn't find valid bootstrap(s): [/var/task/bootstrap /opt/bootstrap]"}`
			if o.Failure != sandbox.FailureInit || string(o.Payload) != want {
				t.Errorf("%s %s", o.Failure, o.Payload)
			}
		})
	}
}

// A process that is killed by a signal, by whomever inside, is an exit.
func TestSignals(t *testing.T) {
	t.Parallel()
	requireHost(t, "nodejs20.x")
	rt := newRuntime(t, config(t))
	c := newCell(t, rt, "signals", "nodejs20.x", sandboxtest.WriteProgram(t, "nodejs20.x"), nil)
	for _, signal := range []string{"KILL", "ABRT", "SEGV", "TERM"} {
		begin := time.Now()
		o := c.invoke("shell", "kill -"+signal+" $PPID; sleep 5", 10*time.Second)
		if o.Failure != sandbox.FailureExit || !strings.Contains(string(o.Payload), "Runtime exited without providing a reason") {
			t.Errorf("SIG%s: %s %s", signal, o.Failure, o.Payload)
		}
		if took := time.Since(begin); took > 3*time.Second {
			t.Errorf("SIG%s took %v to be noticed", signal, took)
		}
	}
	// Orphans are reaped: by the sandbox's own first process.
	c.shell("for i in 1 2 3 4 5; do (sleep 0 &) ; done; sleep 0.3")
	if got, _ := c.shell("grep -l '^State:.Z' /proc/[0-9]*/status 2>/dev/null | grep -c ."); got != "0" {
		t.Errorf("%s zombies", got)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if slices.ContainsFunc(c.lines, func(l string) bool { return strings.Contains(l, "Killed") || strings.Contains(l, "Aborted") }) {
		t.Errorf("the shell's words are in the log: %q", c.lines)
	}
}

// Sandboxes start side by side, and Close ends them together.
func TestManyAtOnce(t *testing.T) {
	t.Parallel()
	requireHost(t, "python3.11")
	rt := newRuntime(t, config(t))
	code := sandboxtest.WriteProgram(t, "python3.11")
	var all sync.WaitGroup
	for i := range 8 {
		all.Go(func() {
			b := sandbox.Binding{Function: testFunction("python3.11"), CodeDir: code}
			s, err := rt.Start(t.Context(), sandbox.Spec{ID: fmt.Sprintf("many-%d", i), Runtime: "python3.11", MemoryMB: 128, Binding: &b}, "")
			if err != nil {
				t.Errorf("Start: %v", err)
				return
			}
			c := &cell{t: t, s: s}
			if o := c.invoke("echo", i, 10*time.Second); string(o.Payload) != fmt.Sprint(i) {
				t.Errorf("%s %s", o.Failure, o.Payload)
			}
		})
	}
	all.Wait()
	if err := rt.Close(); err != nil { // newRuntime looks for traces
		t.Errorf("Close: %v", err)
	}
	_, err := rt.Start(t.Context(), sandbox.Spec{ID: "after", Runtime: "python3.11", MemoryMB: 128}, "")
	if thermocline.KindOf(err) != thermocline.KindUnavailable {
		t.Errorf("Start after Close: %v", err)
	}
}

// A start that fails leaves nothing and says why.
func TestFailedStart(t *testing.T) {
	t.Parallel()
	requireHost(t, "nodejs20.x")
	cfg := config(t)
	cfg.RuncPath = "/bin/false"
	rt := newRuntime(t, cfg)
	code := sandboxtest.WriteProgram(t, "nodejs20.x")
	for range 2 { // the id is free again
		_, err := rt.Start(t.Context(), sandbox.Spec{ID: "failing", Runtime: "nodejs20.x", MemoryMB: 128,
			Binding: &sandbox.Binding{Function: testFunction("nodejs20.x"), CodeDir: code}}, "")
		if err == nil || thermocline.KindOf(err) != thermocline.KindInternal || strings.Contains(err.Error(), "already") {
			t.Errorf("the error is %v", err)
		}
	}
	_, err := rt.Start(t.Context(), sandbox.Spec{ID: "nowhere", Runtime: "nodejs20.x", MemoryMB: 128,
		Binding: &sandbox.Binding{Function: testFunction("nodejs20.x"), CodeDir: filepath.Join(code, "missing")}}, "")
	if err == nil || !strings.Contains(err.Error(), "no such file") {
		t.Errorf("the error is %v", err)
	}
}

// A start that is cut off at any moment leaves nothing, not even a zombie.
func TestCanceledStart(t *testing.T) {
	requireHost(t, "nodejs20.x")
	rt := newRuntime(t, config(t))
	code := sandboxtest.WriteProgram(t, "nodejs20.x")
	for i := range 24 {
		ctx, cancel := context.WithCancel(t.Context())
		timer := time.AfterFunc(time.Duration(i)*2*time.Millisecond, cancel)
		s, err := rt.Start(ctx, sandbox.Spec{ID: fmt.Sprintf("canceled-%d", i), Runtime: "nodejs20.x", MemoryMB: 128,
			Binding: &sandbox.Binding{Function: testFunction("nodejs20.x"), CodeDir: code}}, "")
		if err == nil {
			err = s.Close()
		} else if i == 0 && !errors.Is(err, context.Canceled) {
			t.Errorf("the error is %v", err)
		} else {
			err = nil
		}
		if err != nil {
			t.Errorf("Close: %v", err)
		}
		timer.Stop()
		cancel()
	}
	for _, name := range glob(t, "/proc/[0-9]*/stat") {
		data, err := os.ReadFile(name)
		if err == nil && strings.Contains(string(data), fmt.Sprintf(") Z %d ", os.Getpid())) && strings.Contains(string(data), "runc:[") {
			t.Errorf("a zombie: %s", data)
		}
	}
}

// The environment inside is the one that the tables hold, whichever way the
// sandbox was bound.
func TestEnvironmentInside(t *testing.T) {
	t.Parallel()
	for _, runtime := range []string{"nodejs20.x", "python3.11", "provided.al2023"} {
		requireHost(t, runtime)
		rt := newRuntime(t, config(t))
		code := sandboxtest.WriteProgram(t, runtime)
		b := sandbox.Binding{Function: testFunction(runtime), CodeDir: code, LogStream: "stream"}
		want := oci.Environment(runtime, b)
		for _, way := range []string{"full", "specialised"} {
			spec := sandbox.Spec{ID: way, Runtime: runtime, MemoryMB: 128}
			if way == "full" {
				spec.Binding = &b
			}
			s, err := rt.Start(t.Context(), spec, "")
			if err != nil {
				t.Fatal(err)
			}
			if way != "full" {
				if err := s.Specialise(t.Context(), b); err != nil {
					t.Fatal(err)
				}
			}
			c := &cell{t: t, s: s}
			if got, _ := c.shell("touch /var/task/x 2>&1"); !strings.Contains(got, "Read-only file system") {
				t.Errorf("%s, %s: the code can be written: %s", runtime, way, got)
			}
			o := c.invoke("env", nil, 5*time.Second)
			var got map[string]string
			if err := json.Unmarshal(o.Payload, &got); err != nil {
				t.Fatalf("%s %s", o.Failure, o.Payload)
			}
			delete(got, "_X_AMZN_TRACE_ID") // the runtime's own
			if runtime == "python3.11" {
				delete(got, "LC_CTYPE") // the interpreter's own, on hosts without the locale
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("%s, %s: the environment differs (-want +got):\n%s", runtime, way, diff)
			}
			if err := s.Close(); err != nil {
				t.Error(err)
			}
		}
	}
}
