package oci

import (
	"encoding/json"
	"os"
	"path/filepath"

	"github.com/opencontainers/runtime-spec/specs-go"
)

// The limits of every sandbox.
const (
	maxProcesses  = 1024
	maxOpenFiles  = 1024
	shmSize       = "16m"
	oomScoreAdj   = 500
	sharesPerCPU  = 1024
	megabytesCPU  = 1769 // of memory, to the processor
	minimumShares = 2
	tcpShare      = 4 // of the memory limit, for TCP buffers
)

// bundle is what a container's config.json depends on.
type bundle struct {
	root     *root
	slot     string // in the space
	hostID   uint32 // of the container's root; the user has the next
	netns    string
	cgroup   string
	memoryMB int
	swap     bool // the kernel accounts for swap
	tcp      bool // and for the buffers of TCP sockets
	args     []string
	env      []string
	mounts   []Mount
	quiet    bool // boots for the warming pool: nobody waits for it
}

// spec is the bundle as the OCI runtime reads it.
func (b *bundle) spec() (*specs.Spec, error) {
	root := b.hostID
	s := &specs.Spec{
		Version:  "1.0.2",
		Root:     &specs.Root{Path: b.root.path, Readonly: true},
		Hostname: hostName,
		Mounts:   b.mountList(),
		Process: &specs.Process{
			User: specs.User{UID: userID, GID: groupID}, Cwd: taskDir,
			Args: b.args, Env: b.env,
			Capabilities:    &specs.LinuxCapabilities{},
			NoNewPrivileges: true,
			OOMScoreAdj:     new(oomScoreAdj),
			Rlimits: []specs.POSIXRlimit{
				{Type: "RLIMIT_NOFILE", Soft: maxOpenFiles, Hard: maxOpenFiles},
				// One byte, not none: a host that pipes its core dumps to a
				// program does so for a limit of 0, as root.
				{Type: "RLIMIT_CORE", Soft: 1, Hard: 1},
				{Type: "RLIMIT_MEMLOCK", Soft: 64 << 10, Hard: 64 << 10},
			},
		},
		Linux: &specs.Linux{
			UIDMappings:       idMappings(root, userID),
			GIDMappings:       idMappings(root, groupID),
			Namespaces:        b.namespaces(),
			CgroupsPath:       b.cgroup,
			Resources:         b.resources(),
			RootfsPropagation: "private",
			MaskedPaths: []string{
				"/proc/acpi", "/proc/asound", "/proc/interrupts", "/proc/kcore", "/proc/keys", "/proc/latency_stats",
				"/proc/timer_list", "/proc/timer_stats", "/proc/sched_debug", "/proc/scsi", "/proc/key-users",
				"/proc/kallsyms", "/proc/modules", "/proc/config.gz", "/proc/cmdline",
			},
			ReadonlyPaths: []string{"/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"},
		},
	}
	var err error
	s.Linux.Seccomp, err = seccompProfile(s)
	return s, err
}

// idMappings gives the container's root and its user a host id each.
func idMappings(host uint32, user uint32) []specs.LinuxIDMapping {
	return []specs.LinuxIDMapping{
		{ContainerID: 0, HostID: host, Size: 1},
		{ContainerID: user, HostID: host + 1, Size: 1},
	}
}

func (b *bundle) namespaces() []specs.LinuxNamespace {
	return []specs.LinuxNamespace{
		{Type: specs.PIDNamespace}, {Type: specs.MountNamespace}, {Type: specs.IPCNamespace},
		{Type: specs.UTSNamespace}, {Type: specs.UserNamespace}, {Type: specs.CgroupNamespace},
		{Type: specs.NetworkNamespace, Path: b.netns},
	}
}

// mountList is what the root shows. What is bound to the slot are slaves: what
// is moved into the slot later appears inside.
func (b *bundle) mountList() []specs.Mount {
	readOnly := []string{"rbind", "ro", "nosuid", "nodev"}
	slave := []string{"rbind", "rslave", "ro", "nosuid", "nodev"}
	m := []specs.Mount{
		{Destination: "/proc", Type: "proc", Source: "proc", Options: []string{"nosuid", "noexec", "nodev"}},
		{Destination: "/dev", Type: "tmpfs", Source: "tmpfs", Options: []string{"nosuid", "noexec", "strictatime", "mode=755", "size=64k"}},
		{Destination: "/dev/shm", Type: "tmpfs", Source: "shm", Options: []string{"nosuid", "noexec", "nodev", "mode=1777", "size=" + shmSize}},
		{Destination: runtimeDir, Type: "bind", Source: b.root.runtime, Options: readOnly},
	}
	for _, d := range b.root.mounts {
		m = append(m, specs.Mount{Destination: d, Type: "bind", Source: d, Options: readOnly})
	}
	for _, d := range b.mounts {
		m = append(m, specs.Mount{Destination: d.Target, Type: "bind", Source: d.Source, Options: readOnly})
	}
	// What is there before the container is bound itself, hence no "ro" for the
	// scratch file system; where it comes later, the slot is not writable.
	m = append(m,
		specs.Mount{Destination: taskDir, Type: "bind", Source: filepath.Join(b.slot, slotTask), Options: slave},
		specs.Mount{Destination: layerDir, Type: "bind", Source: filepath.Join(b.slot, slotLayers), Options: slave},
		specs.Mount{Destination: scratchDir, Type: "bind", Source: filepath.Join(b.slot, slotScratch), Options: []string{"rbind", "rslave", "nosuid", "nodev"}})
	return m
}

func (b *bundle) resources() *specs.LinuxResources {
	limit := int64(b.memoryMB) << 20
	memory := &specs.LinuxMemory{Limit: &limit}
	if b.swap {
		memory.Swap = &limit // memory and swap together
	}
	if b.tcp {
		// Else they are not limited at all, and the whole machine shares what
		// TCP may take. The sandbox has loopback only.
		memory.KernelTCP = new(limit / tcpShare)
	}
	return &specs.LinuxResources{
		Devices: []specs.LinuxDeviceCgroup{{Allow: false, Access: "rwm"}},
		Memory:  memory,
		CPU:     &specs.LinuxCPU{Shares: new(b.shares())},
		Pids:    &specs.LinuxPids{Limit: new(int64(maxProcesses))},
	}
}

// quietShare is the part of its shares that a sandbox has while it boots for
// the warming pool, and quietNice the nice value of the OCI runtime meanwhile:
// little beside what somebody waits for, and enough to get there.
const (
	quietShare = 8
	quietNice  = 10
)

func (b *bundle) shares() uint64 {
	if b.quiet {
		return max(shares(b.memoryMB)/quietShare, minimumShares)
	}
	return shares(b.memoryMB)
}

// shares is the processor weight by memory size.
func shares(memoryMB int) uint64 {
	return max(uint64(memoryMB)*sharesPerCPU/megabytesCPU, minimumShares)
}

// write writes config.json into the slot. Within space.do.
func (b *bundle) write() error {
	spec, err := b.spec()
	if err != nil {
		return err
	}
	data, err := json.Marshal(spec)
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(b.slot, "config.json"), data, 0o600)
}
