package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// call is a system call that must be refused.
type call struct {
	name string
	nr   uintptr
	args [5]uintptr
}

// refusedCalls are those that every architecture has.
func refusedCalls() []call {
	self := uintptr(os.Getpid())
	here := int64(unix.AT_FDCWD)
	cwd := uintptr(here)
	name := uintptr(unsafe.Pointer(&[]byte("/tmp\x00")[0]))
	word := uintptr(unsafe.Pointer(&[64]uint64{}))
	return append([]call{
		{"mount", unix.SYS_MOUNT, [5]uintptr{name, name, name}},
		{"umount2", unix.SYS_UMOUNT2, [5]uintptr{name}},
		{"pivot_root", unix.SYS_PIVOT_ROOT, [5]uintptr{name, name}},
		{"chroot", unix.SYS_CHROOT, [5]uintptr{name}},
		{"open_tree", unix.SYS_OPEN_TREE, [5]uintptr{cwd, name, 1}},
		{"move_mount", unix.SYS_MOVE_MOUNT, [5]uintptr{cwd, name, cwd, name}},
		{"mount_setattr", unix.SYS_MOUNT_SETATTR, [5]uintptr{cwd, name, 0, word, 32}},
		{"fsopen", unix.SYS_FSOPEN, [5]uintptr{name}},
		{"fsmount", unix.SYS_FSMOUNT, [5]uintptr{0}},
		{"fspick", unix.SYS_FSPICK, [5]uintptr{cwd, name}},
		{"fsconfig", unix.SYS_FSCONFIG, [5]uintptr{0}},
		{"ptrace(TRACEME)", unix.SYS_PTRACE, [5]uintptr{0}},
		{"ptrace(ATTACH)", unix.SYS_PTRACE, [5]uintptr{16, 1}},
		{"ptrace(SEIZE)", unix.SYS_PTRACE, [5]uintptr{0x4206, 1}},
		{"process_vm_readv", unix.SYS_PROCESS_VM_READV, [5]uintptr{self}},
		{"process_vm_writev", unix.SYS_PROCESS_VM_WRITEV, [5]uintptr{self}},
		{"pidfd_getfd", unix.SYS_PIDFD_GETFD, [5]uintptr{0}},
		{"process_madvise", unix.SYS_PROCESS_MADVISE, [5]uintptr{0}},
		{"kcmp", unix.SYS_KCMP, [5]uintptr{1, 1}},
		{"bpf", unix.SYS_BPF, [5]uintptr{0, word, 64}},
		{"perf_event_open", unix.SYS_PERF_EVENT_OPEN, [5]uintptr{word}},
		{"userfaultfd", unix.SYS_USERFAULTFD, [5]uintptr{0}},
		{"userfaultfd(user mode)", unix.SYS_USERFAULTFD, [5]uintptr{1}},
		{"io_uring_setup", unix.SYS_IO_URING_SETUP, [5]uintptr{8, word}},
		{"io_uring_enter", unix.SYS_IO_URING_ENTER, [5]uintptr{0}},
		{"io_uring_register", unix.SYS_IO_URING_REGISTER, [5]uintptr{0}},
		{"add_key", unix.SYS_ADD_KEY, [5]uintptr{name, name}},
		{"request_key", unix.SYS_REQUEST_KEY, [5]uintptr{name, name}},
		{"keyctl", unix.SYS_KEYCTL, [5]uintptr{0, ^uintptr(2)}},
		{"unshare(user)", unix.SYS_UNSHARE, [5]uintptr{unix.CLONE_NEWUSER}},
		{"unshare(mount)", unix.SYS_UNSHARE, [5]uintptr{unix.CLONE_NEWNS}},
		{"unshare(net)", unix.SYS_UNSHARE, [5]uintptr{unix.CLONE_NEWNET}},
		{"unshare(cgroup)", unix.SYS_UNSHARE, [5]uintptr{unix.CLONE_NEWCGROUP}},
		{"unshare(time)", unix.SYS_UNSHARE, [5]uintptr{unix.CLONE_NEWTIME}},
		{"setns", unix.SYS_SETNS, [5]uintptr{0}},
		{"clone(user)", unix.SYS_CLONE, [5]uintptr{unix.CLONE_NEWUSER | uintptr(unix.SIGCHLD)}},
		{"clone(mount)", unix.SYS_CLONE, [5]uintptr{unix.CLONE_NEWNS | uintptr(unix.SIGCHLD)}},
		{"clone(pid)", unix.SYS_CLONE, [5]uintptr{unix.CLONE_NEWPID | uintptr(unix.SIGCHLD)}},
		{"clone(net)", unix.SYS_CLONE, [5]uintptr{unix.CLONE_NEWNET | uintptr(unix.SIGCHLD)}},
		{"clone3", unix.SYS_CLONE3, [5]uintptr{word, 64}},
		{"open_by_handle_at", unix.SYS_OPEN_BY_HANDLE_AT, [5]uintptr{0, word}},
		{"name_to_handle_at", unix.SYS_NAME_TO_HANDLE_AT, [5]uintptr{cwd, name, word, word}},
		{"fanotify_init", unix.SYS_FANOTIFY_INIT, [5]uintptr{0}},
		{"kexec_load", unix.SYS_KEXEC_LOAD, [5]uintptr{0}},
		{"kexec_file_load", unix.SYS_KEXEC_FILE_LOAD, [5]uintptr{0}},
		{"reboot", unix.SYS_REBOOT, [5]uintptr{0xfee1dead, 672274793, 0x89abcdef}},
		{"init_module", unix.SYS_INIT_MODULE, [5]uintptr{name, 5, name}},
		{"finit_module", unix.SYS_FINIT_MODULE, [5]uintptr{0, name}},
		{"delete_module", unix.SYS_DELETE_MODULE, [5]uintptr{name}},
		{"settimeofday", unix.SYS_SETTIMEOFDAY, [5]uintptr{word}},
		{"clock_settime", unix.SYS_CLOCK_SETTIME, [5]uintptr{0, word}},
		{"clock_adjtime", unix.SYS_CLOCK_ADJTIME, [5]uintptr{0, uintptr(unsafe.Pointer(&[64]uint64{1}))}},
		{"sethostname", unix.SYS_SETHOSTNAME, [5]uintptr{name, 4}},
		{"setdomainname", unix.SYS_SETDOMAINNAME, [5]uintptr{name, 4}},
		{"swapon", unix.SYS_SWAPON, [5]uintptr{name}},
		{"swapoff", unix.SYS_SWAPOFF, [5]uintptr{name}},
		{"acct", unix.SYS_ACCT, [5]uintptr{name}},
		{"quotactl", unix.SYS_QUOTACTL, [5]uintptr{0}},
		{"syslog", unix.SYS_SYSLOG, [5]uintptr{3, word, 64}},
		{"vhangup", unix.SYS_VHANGUP, [5]uintptr{}},
		{"memfd_secret", unix.SYS_MEMFD_SECRET, [5]uintptr{0}},
		{"move_pages", unix.SYS_MOVE_PAGES, [5]uintptr{1, 1, word, word, word}},
		{"migrate_pages", unix.SYS_MIGRATE_PAGES, [5]uintptr{1}},
		{"mbind", unix.SYS_MBIND, [5]uintptr{0}},
		{"sched_setscheduler(FIFO)", unix.SYS_SCHED_SETSCHEDULER, [5]uintptr{0, 1, uintptr(unsafe.Pointer(&[2]int32{1}))}},
		{"personality(READ_IMPLIES_EXEC)", unix.SYS_PERSONALITY, [5]uintptr{0x0400000}},
		{"lookup_dcookie", unix.SYS_LOOKUP_DCOOKIE, [5]uintptr{0, word, 8}},
		{"nfsservctl", unix.SYS_NFSSERVCTL, [5]uintptr{0}},
		{"vmsplice", unix.SYS_VMSPLICE, [5]uintptr{0}},
		{"landlock_create_ruleset", unix.SYS_LANDLOCK_CREATE_RULESET, [5]uintptr{0, 0, 1}},
		{"socket(raw)", unix.SYS_SOCKET, [5]uintptr{unix.AF_INET, unix.SOCK_RAW, unix.IPPROTO_ICMP}},
		{"socket(raw 6)", unix.SYS_SOCKET, [5]uintptr{unix.AF_INET6, unix.SOCK_RAW, unix.IPPROTO_ICMPV6}},
		{"socket(packet)", unix.SYS_SOCKET, [5]uintptr{unix.AF_PACKET, unix.SOCK_RAW, 0}},
		{"socket(vsock)", unix.SYS_SOCKET, [5]uintptr{unix.AF_VSOCK, unix.SOCK_STREAM, 0}},
		{"socket(alg)", unix.SYS_SOCKET, [5]uintptr{unix.AF_ALG, unix.SOCK_SEQPACKET, 0}},
		{"socket(xdp)", unix.SYS_SOCKET, [5]uintptr{unix.AF_XDP, unix.SOCK_RAW, 0}},
		{"socket(can)", unix.SYS_SOCKET, [5]uintptr{unix.AF_CAN, unix.SOCK_RAW, 1}},
		{"socket(tipc)", unix.SYS_SOCKET, [5]uintptr{unix.AF_TIPC, unix.SOCK_RDM, 0}},
		{"socket(key)", unix.SYS_SOCKET, [5]uintptr{unix.AF_KEY, unix.SOCK_RAW, 2}},
		{"socket(bluetooth)", unix.SYS_SOCKET, [5]uintptr{unix.AF_BLUETOOTH, unix.SOCK_RAW, 0}},
		{"netlink(netfilter)", unix.SYS_SOCKET, [5]uintptr{unix.AF_NETLINK, unix.SOCK_RAW, unix.NETLINK_NETFILTER}},
		{"netlink(xfrm)", unix.SYS_SOCKET, [5]uintptr{unix.AF_NETLINK, unix.SOCK_RAW, unix.NETLINK_XFRM}},
		{"netlink(audit)", unix.SYS_SOCKET, [5]uintptr{unix.AF_NETLINK, unix.SOCK_RAW, unix.NETLINK_AUDIT}},
		{"netlink(uevent)", unix.SYS_SOCKET, [5]uintptr{unix.AF_NETLINK, unix.SOCK_RAW, unix.NETLINK_KOBJECT_UEVENT}},
	}, machineCalls(name, word)...)
}

// calls returns the system calls that were not refused. A refusal is EPERM or
// ENOSYS; anything else means that the kernel has looked at the arguments.
func calls(event) any {
	var allowed []string
	for _, c := range refusedCalls() {
		r, _, errno := unix.RawSyscall6(c.nr, c.args[0], c.args[1], c.args[2], c.args[3], c.args[4], 0)
		if errno == unix.EPERM || errno == unix.ENOSYS {
			continue
		}
		if r == 0 && errno == 0 && (c.nr == unix.SYS_CLONE || c.nr == unix.SYS_CLONE3) {
			_, _, _ = unix.RawSyscall(unix.SYS_EXIT_GROUP, 0, 0, 0) // the child, which must not be
		}
		allowed = append(allowed, fmt.Sprintf("%s: %d %v", c.name, r, errno))
	}
	return append(allowed, otherTables()...)
}

// foreignMarker makes the program a child that calls by a foreign number.
const foreignMarker = "thermocline-hostile-call"

// otherTables calls by the numbers of other tables than the machine's own, each
// in a child: the kernel may end the thread for it.
func otherTables() []string {
	var allowed []string
	for name, nr := range foreignCalls {
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		out, _ := exec.CommandContext(ctx, own(), foreignMarker, strconv.Itoa(int(nr))).Output()
		cancel()
		if len(out) > 0 {
			allowed = append(allowed, name+": "+string(out))
		}
	}
	return allowed
}

// callForeign makes one call and says so if it was not refused.
func callForeign(number string) {
	nr, err := strconv.Atoi(number)
	if err != nil {
		return
	}
	r, _, errno := unix.RawSyscall(uintptr(nr), 0, 0, 0)
	if errno != unix.EPERM && errno != unix.ENOSYS {
		fmt.Print(r, errno)
	}
}
