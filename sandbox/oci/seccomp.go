package oci

import (
	"runtime"
	"slices"

	"github.com/moby/profiles/seccomp"
	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// denied are system calls that the kept profile allows to a process without
// capabilities and that functions do not need: they reach into other
// processes, the kernel's rarely tested corners, or objects by handle.
var denied = []string{
	"bpf", "userfaultfd", "perf_event_open",
	"io_uring_setup", "io_uring_enter", "io_uring_register",
	"add_key", "keyctl", "request_key",
	"ptrace", "process_vm_readv", "process_vm_writev", "process_madvise", "process_mrelease", "pidfd_getfd", "kcmp",
	"mount", "mount_setattr", "move_mount", "open_tree", "fsopen", "fsconfig", "fsmount", "fspick",
	"umount", "umount2", "pivot_root", "chroot", "listmount", "statmount",
	"unshare", "setns", "name_to_handle_at", "open_by_handle_at",
	"fanotify_init", "fanotify_mark", "quotactl", "quotactl_fd",
	"modify_ldt", "uselib", "ustat", "sysfs", "vmsplice", "memfd_secret", "uretprobe",
	"landlock_create_ruleset", "landlock_add_rule", "landlock_restrict_self",
}

// domains are the address families of socket(2). Of netlink only routing is
// allowed besides: lists of interfaces need it, and its other families are
// corners of the kernel that nobody here has business in.
var domains = []uint64{unix.AF_UNIX, unix.AF_INET, unix.AF_INET6}

// seccompProfile is moby's default-deny profile for a process without
// capabilities, made narrower.
func seccompProfile(spec *specs.Spec) (*specs.LinuxSeccomp, error) {
	p, err := seccomp.GetDefaultProfile(spec)
	if err != nil {
		return nil, err
	}
	p.Architectures = native()
	var kept []specs.LinuxSyscall
	for _, rule := range p.Syscalls {
		if rule.Action == specs.ActAllow {
			rule.Names = slices.DeleteFunc(slices.Clone(rule.Names), func(n string) bool {
				return slices.Contains(denied, n) || n == "socket" || n == "socketcall"
			})
		}
		if len(rule.Names) > 0 {
			kept = append(kept, rule)
		}
	}
	for _, d := range domains {
		kept = append(kept, specs.LinuxSyscall{
			Names: []string{"socket"}, Action: specs.ActAllow,
			Args: []specs.LinuxSeccompArg{{Index: 0, Value: d, Op: specs.OpEqualTo}},
		})
	}
	kept = append(kept, specs.LinuxSyscall{
		Names: []string{"socket"}, Action: specs.ActAllow,
		Args: []specs.LinuxSeccompArg{
			{Index: 0, Value: unix.AF_NETLINK, Op: specs.OpEqualTo},
			{Index: 2, Value: unix.NETLINK_ROUTE, Op: specs.OpEqualTo},
		},
	})
	p.Syscalls = kept
	return p, nil
}

// native is this machine's architecture alone: the others would be further
// doors to the kernel, and triple the filter.
func native() []specs.Arch {
	if runtime.GOARCH == "arm64" {
		return []specs.Arch{specs.ArchAARCH64}
	}
	return []specs.Arch{specs.ArchX86_64}
}
