package oci

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"sync"

	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"

	"thermocline"
	"thermocline/sandbox"
)

// Runtime makes sandboxes. Its methods may be called from any goroutine.
type Runtime struct {
	cfg       Config
	log       *slog.Logger
	hierarchy *hierarchy
	swap      bool // the kernel accounts for swap
	tcp       bool // and for the buffers of TCP sockets
	scratch   *scratch

	mu     sync.Mutex
	host   *host // nil until it is needed
	boxes  map[string]*box
	ids    map[uint32]bool // host ids in use, by the first of each sandbox
	nextID uint32
	closed bool
}

// host is what all sandboxes share on the host while the Runtime lives.
type host struct {
	lock   *os.File
	space  *space
	root   *root
	spares *spares
}

// New returns a Runtime. It looks at the machine's cgroups, makes the process
// a child subreaper, and starts nothing.
func New(cfg Config) (*Runtime, error) {
	cfg = cfg.withDefaults()
	if err := cfg.validate(); err != nil {
		return nil, thermocline.WithCause(thermocline.KindInternal, err, "the sandbox runtime is misconfigured")
	}
	info, err := os.Open("/proc/self/mountinfo")
	if err != nil {
		return nil, err
	}
	defer info.Close()
	h, err := findHierarchy(info)
	if err != nil {
		return nil, fmt.Errorf("cgroups: %w", err)
	}
	if err := unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); err != nil {
		return nil, fmt.Errorf("become a child subreaper: %w", err)
	}
	return &Runtime{
		cfg: cfg, log: cfg.Logger, hierarchy: h, swap: h.accountsSwap(), tcp: h.accountsTCP(), scratch: newScratch(cfg.ScratchDir),
		boxes: map[string]*box{}, ids: map[uint32]bool{},
	}, nil
}

// prepare takes the state directory and makes what all sandboxes share, once.
func (r *Runtime) prepare() (*host, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		return nil, errRuntimeClosed
	}
	if r.host != nil {
		return r.host, nil
	}
	h, err := r.makeHost()
	if err != nil {
		return nil, thermocline.WithCause(thermocline.KindInternal, err, "this machine could not be prepared for sandboxes")
	}
	r.host = h
	return h, nil
}

var errRuntimeClosed = thermocline.Errorf(thermocline.KindUnavailable, "the sandbox runtime is closed")

func (r *Runtime) makeHost() (_ *host, err error) {
	for _, dir := range []string{r.cfg.StateDir, r.spaceDir()} {
		if err := os.MkdirAll(dir, 0o711); err != nil {
			return nil, err
		}
	}
	for _, dir := range []string{r.recordDir(), r.runcRoot(), r.cfg.ScratchDir} {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return nil, err
		}
	}
	h := &host{}
	defer func() {
		if err != nil {
			err = errors.Join(err, h.close())
		}
	}()
	if h.lock, err = lock(r.lockFile()); err != nil {
		return nil, fmt.Errorf("the state directory %s is in use by another process: %w", r.cfg.StateDir, err)
	}
	if h.space, err = newSpace(r.spaceDir()); err != nil {
		return nil, err
	}
	err = h.space.do(func() error {
		h.root, err = makeRoot(h.space.dir)
		return err
	})
	if err != nil {
		return nil, err
	}
	h.spares = newSpares(r.cfg.Spares)
	h.spares.fill()
	return h, nil
}

// lock takes a lock that goes with us. It fails if another process has it, or
// has just removed the file.
func lock(name string) (*os.File, error) {
	f, err := os.OpenFile(name, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	err = unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
	if err == nil {
		var ours, there os.FileInfo
		if ours, err = f.Stat(); err == nil {
			if there, err = os.Stat(name); err == nil && !os.SameFile(ours, there) {
				err = unix.EAGAIN
			}
		}
	}
	if err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}

// close gives the shared things up.
func (h *host) close() error {
	var errs []error
	if h.spares != nil {
		errs = append(errs, h.spares.close())
	}
	if h.space != nil {
		errs = append(errs, h.space.close())
	}
	if h.lock != nil {
		errs = append(errs, h.lock.Close())
	}
	return errors.Join(errs...)
}

// Start starts a sandbox in a cgroup below cgroupParent ("" for the configured
// one). With a Binding it returns once the process runs, without one once the
// process waits for its function. In a sandbox of a provided runtime a shell
// waits, which becomes the program when it is bound.
func (r *Runtime) Start(ctx context.Context, spec sandbox.Spec, cgroupParent string) (sandbox.Sandbox, error) {
	if cgroupParent == "" {
		cgroupParent = r.cfg.CgroupParent
	}
	if err := checkSpec(spec, cgroupParent); err != nil {
		return nil, err
	}
	h, err := r.prepare()
	if err != nil {
		return nil, err
	}
	b, err := r.register(h, spec, cgroupParent)
	if err != nil {
		return nil, err
	}
	if err := b.start(ctx); err != nil {
		if e := b.Close(); e != nil {
			r.log.Error("a sandbox that failed to start could not be removed", "sandbox", spec.ID, "error", e)
		}
		return nil, platform(err, "the sandbox could not be started")
	}
	return b, nil
}

// platform makes an error of ours one of the platform's, unless it is one.
func platform(err error, message string) error {
	var e *thermocline.Error
	if errors.As(err, &e) || errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	return thermocline.WithCause(thermocline.KindInternal, err, message)
}

func checkSpec(s sandbox.Spec, parent string) error {
	switch {
	case !validID(s.ID):
		return thermocline.Errorf(thermocline.KindInternal, "the sandbox id %.64q is malformed", s.ID)
	case s.MemoryMB < 16 || s.MemoryMB > 1<<20:
		return thermocline.Errorf(thermocline.KindInternal, "a sandbox cannot have %d MB", s.MemoryMB)
	case !validCgroup(parent):
		return thermocline.Errorf(thermocline.KindInternal, "the cgroup %.64q is malformed", parent)
	case s.Binding != nil:
		return checkBinding(*s.Binding)
	}
	return nil
}

func checkBinding(b sandbox.Binding) error {
	switch {
	case b.Function == nil:
		return thermocline.Errorf(thermocline.KindInternal, "a binding without a function")
	case !filepath.IsAbs(b.CodeDir):
		return thermocline.Errorf(thermocline.KindInternal, "the code's directory is not an absolute path")
	}
	for _, l := range b.LayerDirs {
		if !filepath.IsAbs(l) {
			return thermocline.Errorf(thermocline.KindInternal, "a layer's directory is not an absolute path")
		}
	}
	return nil
}

// register gives a new sandbox its place and its host ids.
func (r *Runtime) register(h *host, spec sandbox.Spec, parent string) (*box, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		return nil, errRuntimeClosed
	}
	if r.boxes[spec.ID] != nil {
		return nil, thermocline.Errorf(thermocline.KindInternal, "there is a sandbox %s already", spec.ID)
	}
	id, ok := r.takeID()
	if !ok {
		return nil, thermocline.Errorf(thermocline.KindRefused, "all user ids for sandboxes are in use")
	}
	b := newBox(r, h, spec, parent, id)
	r.boxes[spec.ID] = b
	return b, nil
}

// takeID takes the next free pair of host ids, so that one that was just given
// back is not used again soon. Callers hold mu.
func (r *Runtime) takeID() (uint32, bool) {
	n := r.cfg.UIDCount / idsPerSandbox
	for range n {
		id := r.cfg.UIDBase + r.nextID%n*idsPerSandbox
		r.nextID++
		if !r.ids[id] {
			r.ids[id] = true
			return id, true
		}
	}
	return 0, false
}

func (r *Runtime) unregister(b *box) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.boxes, b.spec.ID)
	delete(r.ids, b.hostID)
}

// owns reports whether a sandbox is one of this process.
func (r *Runtime) owns(id string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.boxes[id] != nil
}

// Close closes all sandboxes and removes what they shared. Idempotent.
func (r *Runtime) Close() error {
	r.mu.Lock()
	r.closed = true
	h := r.host
	r.host = nil
	boxes := make([]*box, 0, len(r.boxes))
	for _, b := range r.boxes {
		boxes = append(boxes, b)
	}
	r.mu.Unlock()
	if h == nil {
		return nil
	}
	var all errgroup.Group
	all.SetLimit(4)
	for _, b := range boxes {
		all.Go(b.Close)
	}
	err := errors.Join(all.Wait(), r.scratch.clear())
	// The cgroup may be the owner's, with groups of others in it.
	_ = group{r.hierarchy, r.cfg.CgroupParent}.remove()
	for _, d := range []string{r.recordDir(), r.runcRoot(), r.cfg.ScratchDir, r.spaceDir(), r.lockFile(), r.cfg.StateDir} {
		e := os.Remove(d)
		if d == r.cfg.StateDir && errors.Is(e, unix.EBUSY) {
			continue // it is a mount point
		}
		if e != nil && !errors.Is(e, fs.ErrNotExist) && !errors.Is(e, unix.ENOTEMPTY) {
			err = errors.Join(err, e)
		}
	}
	return errors.Join(err, h.close())
}
