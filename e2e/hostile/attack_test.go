package hostile_test

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// TestProbes are the attacks that look for a way out. What they find is their
// answer, and it must be nothing.
func TestProbes(t *testing.T) {
	w := newWorld(t)
	secret := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(secret, []byte("secret"), 0o644); err != nil {
		t.Fatal(err)
	}
	hostSocket := filepath.Join(t.TempDir(), "socket")
	for _, address := range []string{hostSocket, "@thermocline-hostile-test"} {
		l, err := net.Listen("unix", address)
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
	}
	var addresses []string
	_, port, _ := strings.Cut(strings.TrimPrefix(w.Endpoint, "http://"), ":")
	interfaces, _ := net.InterfaceAddrs()
	for _, a := range interfaces {
		if ip, ok := a.(*net.IPNet); ok {
			addresses = append(addresses, net.JoinHostPort(ip.IP.String(), port))
		}
	}
	addresses = append(addresses, "169.254.169.254:80", "127.0.0.1:4222", "[::1]:"+port)

	for _, probe := range []struct {
		event event
		want  string
	}{
		{event{Do: "read", Paths: w.hostFiles(secret)}, "null"},
		// That the probe finds what there is.
		{event{Do: "read", Paths: []string{"/etc/passwd"}}, `["/etc/passwd"`},
		{event{Do: "write"}, "null"},
		{event{Do: "mounts"}, "null"},
		{event{Do: "kernel"}, "null"},
		{event{Do: "calls"}, "null"},
		{event{Do: "privileges"}, "null"},
		{event{Do: "processes", Pids: []int{w.Pid(), os.Getpid()}}, "null"},
		{event{Do: "network", Addresses: addresses, Abstract: []string{"thermocline-hostile-test"}, Paths: []string{hostSocket}}, "null"},
		{event{Do: "links"}, "null"},
		{event{Do: "core"}, "null"},
		{event{Do: "arguments"}, "argument list too long"},
		{event{Do: "files"}, "too many open files"},
		{event{Do: "inodes"}, "no space left on device"},
	} {
		t.Run(probe.event.Do, func(t *testing.T) {
			both(t, func(t *testing.T, how way) {
				name := w.attacker(t, how)
				a := w.attack(t, name, probe.event)
				if a.Failed || (a.Payload != probe.want && (probe.want == "null" || !strings.Contains(a.Payload, probe.want))) {
					t.Errorf("the answer is %.2000s, want %s (%.500s)", a.Payload, probe.want, a.Log)
				}
				w.well(t, name)
			})
		})
	}
}

// hostFiles are files and directories of the host that no function may see.
func (w *world) hostFiles(secret string) []string {
	node := w.Node()
	files := []string{
		secret, w.Data, filepath.Join(w.Data, "secret.key"), filepath.Join(w.Data, "credentials.json"), filepath.Join(w.Data, "nats"),
		"/etc/shadow", "/etc/gshadow", "/etc/machine-id", "/etc/ssh", "/root", "/root/.ssh", "/var/spool", "/srv", "/mnt", "/media",
		"/var/lib", "/var/log", "/var/tmp", "/var/cache", "/var/run", "/run", "/run/thermocline", "/run/thermocline/" + node,
		"/sys", "/sys/fs/cgroup", "/sys/kernel/security", "/sys/kernel/debug", "/proc/kcore", "/proc/kmsg", "/proc/keys", "/proc/sysrq-trigger",
		"/proc/timer_list", "/proc/kallsyms", "/proc/modules", "/proc/cmdline", "/proc/slabinfo", "/proc/vmallocinfo",
		"/dev/mem", "/dev/kmsg", "/dev/loop0", "/dev/loop-control", "/dev/vda", "/dev/sda", "/dev/mapper", "/dev/kvm", "/dev/fuse", "/dev/net/tun", "/dev/console",
	}
	// The server's own process and those of other sandboxes, by their numbers.
	pids := []int{w.Pid(), os.Getpid()}
	for _, pid := range pids {
		for _, what := range []string{"environ", "root", "cwd", "maps", "mem", "fd"} {
			files = append(files, fmt.Sprintf("/proc/%d/%s", pid, what))
		}
	}
	return files
}

// TestLoads are the attacks that take what there is: they reach their own
// limits, and the neighbour does not feel it.
func TestLoads(t *testing.T) {
	w := newWorld(t)
	ms := int((window + 100*time.Millisecond).Milliseconds())
	for _, load := range []struct {
		do   string
		want string // in the answer; with "!" not in it
	}{
		{"fork", ""}, // it meets the limit of tasks, or that of memory
		{"memory", "!a terabyte"},
		{"disk", "no space left on device"},
		{"flood", "!error"},
		{"spin", "null"},
		{"sockets", "!error"},
		{"api", "null"},
		{"slow", "!error"},
		{"killall", "!survived"},
	} {
		t.Run(load.do, func(t *testing.T) {
			both(t, func(t *testing.T, how way) {
				name := w.attacker(t, how)
				w.undisturbed(t, func(t *testing.T) {
					a, err := w.Invoke(t.Context(), name, event{Do: load.do, Millis: ms})
					if err != nil {
						t.Errorf("%s: %v", load.do, err)
						return
					}
					want, not := strings.CutPrefix(load.want, "!")
					if strings.Contains(a.Payload, want) == not {
						t.Errorf("the answer is %.1000s, want %s", a.Payload, load.want)
					}
				})
				w.well(t, name)
				w.well(t, name)
			})
		})
	}
}
