package host

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"sync"

	"golang.org/x/sync/errgroup"

	"thermocline"
	"thermocline/instance"
	"thermocline/instance/host/cgroup"
	"thermocline/sandbox"
)

// Starter starts sandboxes in a control group, given by its path from the
// hierarchy's root. sandbox/oci's Runtime is one.
type Starter interface {
	Start(ctx context.Context, s sandbox.Spec, cgroupParent string) (sandbox.Sandbox, error)
	// Recover removes the sandboxes that a dead predecessor has left.
	Recover(ctx context.Context) error
}

// Options configure a Provider.
type Options struct {
	// NodeID tells this Thermocline from others on the machine. Two that live
	// at the same time must not share one. [a-z0-9-], at most 40 bytes.
	NodeID string
	// StateDir holds the records of slices. It belongs to this node id, and
	// outlives the process.
	StateDir string
	// CgroupParent is the group that holds the slices, a path from the
	// hierarchy's root; "/thermocline-<NodeID>" if empty. The group is this
	// provider's own: Close removes it. Groups above it must be there.
	CgroupParent string
	// TotalMemoryMB is the memory to give away; 0 for three quarters of the
	// machine's or, if less, of what this process's control group may use.
	TotalMemoryMB int
	// TotalCPU is the most processors that all slices may use together; 0 for
	// no limit.
	TotalCPU float64
	// Starter starts the sandboxes.
	Starter Starter
	Logger  *slog.Logger

	// CgroupRoot is where control groups are mounted; /sys/fs/cgroup if empty.
	CgroupRoot string
	// Files are the operations on them; the kernel's if nil.
	Files cgroup.Files
}

// Provider hands out slices of this machine.
type Provider struct {
	node    string
	state   string
	parent  string
	cpus    float64 // of the machine, for the slices' weights
	quota   float64 // of all slices, 0 for none
	starter Starter
	tree    *cgroup.Tree
	log     *slog.Logger
	self    process

	ledger ledger

	mu     sync.Mutex
	closed bool
	slices map[string]*slice // those that are not entirely gone
	making sync.WaitGroup    // Acquires under way
}

var _ instance.Provider = (*Provider)(nil)

// New returns a provider. It looks at the machine and changes nothing. Errors:
// KindInvalidParameter for wrong options, KindUnavailable when the machine's
// control groups cannot serve.
func New(o Options) (*Provider, error) {
	if err := o.check(); err != nil {
		return nil, err
	}
	if o.CgroupParent == "" {
		o.CgroupParent = "/thermocline-" + o.NodeID
	}
	if o.CgroupRoot == "" {
		o.CgroupRoot = cgroup.Root
	}
	if o.Files == nil {
		o.Files = cgroup.Kernel{}
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	tree, err := cgroup.Open(o.CgroupRoot, o.Files)
	if err != nil {
		return nil, thermocline.WithCause(thermocline.KindUnavailable, err, "This machine cannot hold sandboxes")
	}
	if o.TotalMemoryMB == 0 {
		if o.TotalMemoryMB, err = defaultBudget(tree); err != nil {
			return nil, thermocline.WithCause(thermocline.KindUnavailable, err, "This machine's memory is not known; configure how much may be used")
		}
	}
	self, err := thisProcess()
	if err != nil {
		return nil, thermocline.WithCause(thermocline.KindInternal, err, "This process cannot be identified")
	}
	cpus := float64(runtime.GOMAXPROCS(0)) // follows the process's affinity and quota
	if o.TotalCPU > 0 {
		cpus = min(cpus, o.TotalCPU)
	}
	return &Provider{
		node: o.NodeID, state: o.StateDir, parent: o.CgroupParent, cpus: cpus, quota: o.TotalCPU,
		starter: o.Starter, tree: tree, log: o.Logger, self: self,
		ledger: ledger{total: o.TotalMemoryMB}, slices: map[string]*slice{},
	}, nil
}

var nodeIDPattern = regexp.MustCompile(`^[a-z0-9][a-z0-9-]{0,39}$`)

// check reports every fault of the options at once.
func (o Options) check() error {
	var faults []error
	if !nodeIDPattern.MatchString(o.NodeID) {
		faults = append(faults, fmt.Errorf("the node id %.64q must be of a-z, 0-9 and -, and at most 40 bytes", o.NodeID))
	}
	if !filepath.IsAbs(o.StateDir) {
		faults = append(faults, fmt.Errorf("the state directory %.200q must be an absolute path", o.StateDir))
	}
	if o.CgroupParent != "" && !validParent(o.CgroupParent) {
		faults = append(faults, fmt.Errorf("the control group %.200q must be a clean path below /", o.CgroupParent))
	}
	if o.TotalMemoryMB < 0 || o.TotalCPU < 0 {
		faults = append(faults, errors.New("the memory and the processors to give away must not be negative"))
	}
	if o.Starter == nil {
		faults = append(faults, errors.New("something must start the sandboxes"))
	}
	if err := errors.Join(faults...); err != nil {
		return thermocline.WithCause(thermocline.KindInvalidParameter, err, "The host provider is not configured rightly")
	}
	return nil
}

func validParent(p string) bool { return path.IsAbs(p) && path.Clean(p) == p && p != "/" }

// Name is "host".
func (p *Provider) Name() string { return "host" }

// Capacity returns the budget and what is free of it, in MB.
func (p *Provider) Capacity() (totalMB, freeMB int) { return p.ledger.read() }

// Acquire makes a slice. Errors: KindRefused when the budget has no room,
// KindInvalidParameter for a wish that a shared kernel cannot grant or without
// a size, KindUnavailable after Close.
func (p *Provider) Acquire(ctx context.Context, r instance.Request) (instance.Instance, error) {
	switch {
	case r.Account != "":
		return nil, thermocline.Errorf(thermocline.KindInvalidParameter,
			"A slice of this machine shares its kernel and cannot belong to one account; use a provider of virtual machines.")
	case r.MemoryMB <= 0 || r.Owner == "":
		return nil, thermocline.Errorf(thermocline.KindInvalidParameter, "An instance needs an owner and a size.")
	}
	if err := p.begin(); err != nil {
		return nil, err
	}
	defer p.making.Done()
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if err := p.ledger.take(r.MemoryMB); err != nil {
		return nil, err
	}
	s, err := p.make(ctx, r)
	if err != nil {
		return nil, thermocline.WithCause(thermocline.KindUnavailable, err, "An instance could not be made")
	}
	p.log.Info("instance acquired", "instance", s.id, "manager", r.Owner, "memory_mb", r.MemoryMB)
	return s, nil
}

// begin admits an Acquire unless the provider is closed.
func (p *Provider) begin() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return thermocline.Errorf(thermocline.KindUnavailable, "The provider is closed.")
	}
	p.making.Add(1)
	return nil
}

// make records a slice and then makes its group. The memory is taken already;
// it is given back once nothing of the slice is left.
func (p *Provider) make(ctx context.Context, r instance.Request) (*slice, error) {
	s := newSlice(p, r)
	p.mu.Lock()
	p.slices[s.id] = s
	p.mu.Unlock()
	err := p.writeRecord(s.record())
	if err == nil {
		err = p.tree.Make(p.parent, cgroup.Limits{CPUs: p.cpus, QuotaCPUs: p.quota})
	}
	if err == nil {
		err = p.tree.Make(s.cgroup, s.limits())
	}
	if err != nil {
		return nil, errors.Join(err, s.Close(context.WithoutCancel(ctx))) // Remove has a deadline of its own
	}
	return s, nil
}

// forget gives the memory of a slice back, of which nothing is left.
func (p *Provider) forget(s *slice) {
	p.mu.Lock()
	delete(p.slices, s.id)
	p.mu.Unlock()
	p.ledger.give(s.memoryMB)
}

// Close closes all slices and removes the group that held them. What could
// not be removed is tried again by the next Close.
func (p *Provider) Close(ctx context.Context) error {
	p.mu.Lock()
	p.closed = true
	p.mu.Unlock()
	p.making.Wait()

	p.mu.Lock()
	left := slices.Collect(maps.Values(p.slices))
	p.mu.Unlock()
	errs := make([]error, len(left))
	var group errgroup.Group
	group.SetLimit(8)
	for i, s := range left {
		group.Go(func() error {
			errs[i] = s.Close(ctx)
			return nil
		})
	}
	_ = group.Wait() // its functions return nil: one slice's failure must not end the others
	if err := errors.Join(errs...); err != nil {
		return err
	}
	if err := p.tree.RemoveEmpty(p.parent); err != nil {
		return thermocline.WithCause(thermocline.KindInternal, err, "The node's control group could not be removed")
	}
	return nil
}

// newID returns the id of an instance, unique on the machine.
func newID() string {
	var b [6]byte
	rand.Read(b[:]) // never fails
	return "i-" + hex.EncodeToString(b[:])
}

// processMembership returns what the kernel says of our own control groups.
func processMembership() string {
	raw, err := os.ReadFile("/proc/self/cgroup")
	if err != nil {
		return "" // no control groups, no limit of theirs
	}
	return string(raw)
}
