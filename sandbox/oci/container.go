package oci

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path"
	"time"

	"golang.org/x/sys/unix"

	"thermocline"
	"thermocline/sandbox"
	"thermocline/sandbox/bootstrap"
)

// start makes the sandbox and its process.
func (b *box) start(ctx context.Context) error {
	ctx, leave, err := b.enter(ctx)
	if err != nil {
		return err
	}
	defer leave()
	if err := b.rt.writeRecord(record{ID: b.spec.ID, Cgroup: b.group.path}); err != nil {
		return fmt.Errorf("record the sandbox: %w", err)
	}
	if b.endpoint, err = b.host.spares.take(); err != nil {
		return err
	}
	b.serve()
	if err := b.host.space.do(func() error { return makeSlot(b.slot) }); err != nil {
		return fmt.Errorf("make a slot: %w", err)
	}
	if b.spec.Binding != nil {
		return b.startBound(ctx)
	}
	if err := b.prepareScratch(ctx, usualTmpMB); err != nil {
		return err
	}
	if isProvided(b.spec.Runtime) {
		if !b.rt.canPreside() {
			b.setDormant(true) // its program comes with the binding
			return nil
		}
		if err := b.startProcess(ctx); err != nil {
			return err
		}
		return b.raise()
	}
	if err := b.startProcess(ctx); err != nil {
		return err
	}
	if err := b.awaitBoot(ctx); err != nil {
		return err
	}
	return b.raise()
}

// raise gives a sandbox that has booted at a low priority what is its own, ahead
// of the time when somebody waits for it.
func (b *box) raise() error {
	// The uid is this sandbox's alone.
	if err := unix.Setpriority(unix.PRIO_USER, int(b.hostID)+1, 0); err != nil {
		return fmt.Errorf("raise the priority: %w", err)
	}
	if err := b.group.setShares(shares(b.spec.MemoryMB)); err != nil {
		return fmt.Errorf("raise the processor weight: %w", err)
	}
	return nil
}

// awaitBoot waits until the runtime waits for its function.
func (b *box) awaitBoot(ctx context.Context) error {
	p := b.process()
	inner, cancel := p.during(ctx)
	defer cancel()
	// Longer than anybody would wait: it has a low priority.
	inner, cancel = context.WithTimeout(inner, 3*b.rt.cfg.InitTimeout)
	defer cancel()
	err := b.api.Booted(inner)
	switch {
	case err == nil:
		return nil
	case ctx.Err() != nil:
		return ctx.Err()
	case p.ended():
		err = fmt.Errorf("its process ended (status %d, %v)", p.exit.status, p.exit.signal)
	}
	// Not a deadline of the caller's: it must not look like one.
	return thermocline.WithCause(thermocline.KindInternal, err, "the runtime did not get ready for a function")
}

func (b *box) setDormant(to bool) {
	b.mu.Lock()
	b.dormant = to
	b.mu.Unlock()
}

// startBound attaches the code and starts the process. A package that has no
// program in it is the function's fault, and Invoke says so.
func (b *box) startBound(ctx context.Context) error {
	if err := b.attach(ctx, *b.spec.Binding); err != nil {
		return err
	}
	if err := b.startProcess(ctx); err != nil && !errors.Is(err, errNoEntrypoint) {
		return err
	}
	return nil
}

// serve starts the Runtime API; it ends with b.api.Close.
func (b *box) serve() {
	listener := b.endpoint.listener
	b.serving = make(chan struct{})
	go func() {
		defer close(b.serving)
		if err := b.api.Serve(listener); err != nil {
			b.rt.log.Error("the Runtime API of a sandbox ended", "sandbox", b.spec.ID, "error", err)
		}
	}()
}

// usualTmpMB is the size of /tmp that a function has unless it asks for more.
const usualTmpMB = 512

// prepareScratch makes the file system that most functions want at /tmp, and
// keeps it where nobody sees it until the sandbox is bound.
func (b *box) prepareScratch(ctx context.Context, sizeMB int) error {
	if err := b.rt.scratch.create(ctx, b.spec.ID, sizeMB); err != nil {
		return fmt.Errorf("make /tmp: %w", err)
	}
	return b.host.space.do(func() error {
		user := int(b.hostID) + 1
		m, err := b.rt.scratch.mount(b.spec.ID, sizeMB, user, user)
		if err != nil {
			return err
		}
		b.tmp = m
		return nil
	})
}

// dropScratch takes a file system away that was not attached.
func (b *box) dropScratch() error {
	if b.tmp == nil {
		return nil
	}
	err := b.tmp.close()
	b.tmp = nil
	return errors.Join(err, b.rt.scratch.remove(b.spec.ID))
}

// attach shows the binding's code, layers and a scratch file system inside.
func (b *box) attach(ctx context.Context, binding sandbox.Binding) error {
	size := binding.Function.TmpMB
	if size < 16 || size > 10<<10 {
		return thermocline.Errorf(thermocline.KindInternal, "/tmp cannot have %d MB", size)
	}
	if b.tmp != nil && b.tmp.sizeMB != size {
		if err := b.dropScratch(); err != nil {
			return fmt.Errorf("remove the prepared /tmp: %w", err)
		}
	}
	if b.tmp == nil {
		if err := b.prepareScratch(ctx, size); err != nil {
			return err
		}
	}
	err := b.host.space.do(func() error {
		if err := attachDir(binding.CodeDir, path.Join(b.slot, slotTask)); err != nil {
			return err
		}
		if err := attachLayers(binding.LayerDirs, path.Join(b.slot, slotLayers)); err != nil {
			return err
		}
		return b.tmp.attach(path.Join(b.slot, slotScratch))
	})
	if err != nil {
		return err
	}
	err = b.tmp.close() // the slot holds it now
	b.tmp = nil
	if err != nil {
		return fmt.Errorf("attach /tmp: %w", err)
	}
	b.binding = &binding
	return nil
}

// startProcess starts the container with what the sandbox is bound to now.
func (b *box) startProcess(ctx context.Context) error {
	if err := errors.Join(b.discard(), b.discardOrphan()); err != nil {
		return err
	}
	env := baseEnvironment(b.spec.Runtime, b.spec.MemoryMB)
	env[bootstrap.WaitVariable] = "1"
	if b.binding != nil {
		env = environment(b.spec.Runtime, *b.binding)
	}
	presides := b.binding == nil && isProvided(b.spec.Runtime)
	var args []string
	var mounts []Mount
	var err error
	if presides {
		args = []string{shell, "-c", presideScript}
	} else if args, mounts, err = b.rt.command(ctx, b.spec.Runtime, b.spec.MemoryMB, b.binding, env); err != nil {
		return err
	}
	spec := bundle{
		root: b.host.root, slot: b.slot, hostID: b.hostID, netns: b.endpoint.path(), cgroup: b.group.path,
		memoryMB: b.spec.MemoryMB, swap: b.rt.swap, tcp: b.rt.tcp, args: args, env: list(env), mounts: mounts,
		quiet: b.binding == nil,
	}
	user := int(b.hostID) + 1
	stream, w, err := b.out.connect(user, user)
	if err != nil {
		return err
	}
	var stdin *os.File
	if presides {
		if stdin, b.orders, err = os.Pipe(); err != nil {
			w.Close()
			stream.run()
			stream.close()
			return err
		}
		defer stdin.Close() // the container has its own
	}
	var pid int
	b.began, b.used, b.started = time.Now(), false, true
	b.api.Booting()
	err = b.host.space.do(func() error {
		if err := spec.write(); err != nil {
			return err
		}
		if spec.quiet {
			// The thread's own; what it starts inherits it.
			if err := unix.Setpriority(unix.PRIO_PROCESS, 0, quietNice); err != nil {
				return fmt.Errorf("lower the priority: %w", err)
			}
		}
		var err error
		pid, err = b.rt.runContainer(ctx, b.spec.ID, b.slot, stdio{w, stdin})
		return err
	})
	w.Close() // the container has its own
	stream.run()
	if err != nil {
		stream.close()
		return err
	}
	return b.adopt(pid, stream)
}

// adopt makes the container's process the sandbox's.
func (b *box) adopt(pid int, s *stream) error {
	p, err := watch(pid, s, b.api.Reset)
	if err != nil {
		s.close()
		return err
	}
	b.mu.Lock()
	b.proc = p
	b.mu.Unlock()
	b.started = false
	return nil
}

// discard kills what is left of the process and removes its container; the
// next one gets everything but its memory. After an error it may be called
// again.
func (b *box) discard() error {
	p := b.process()
	if p == nil {
		return nil
	}
	if err := p.kill(b.group); err != nil {
		return err
	}
	b.frozen = false
	b.closeOrders()
	p.out.close()
	p.file.Close()
	if err := b.rt.deleteContainer(context.Background(), b.spec.ID); err != nil {
		return err
	}
	b.gauges.close()
	if err := b.group.remove(); err != nil {
		return fmt.Errorf("remove the cgroup: %w", err)
	}
	b.mu.Lock()
	b.proc = nil
	b.mu.Unlock()
	return nil
}

// discardOrphan removes a container whose start was cut off, so that nobody has
// adopted its process.
func (b *box) discardOrphan() error {
	if b.process() != nil || !b.started {
		return nil
	}
	b.closeOrders()
	found, err := killGroup(context.Background(), b.group)
	if err != nil {
		return err
	}
	if err := b.rt.deleteContainer(context.Background(), b.spec.ID); err != nil {
		return err
	}
	reapOrphans(found)
	b.api.Reset() // it may have asked for work
	b.gauges.close()
	if err := b.group.remove(); err != nil {
		return fmt.Errorf("remove the cgroup: %w", err)
	}
	b.started = false
	return nil
}

// clear removes everything, in the opposite order. It may be called again
// after an error. Callers hold work.
func (b *box) clear() error {
	if err := b.discard(); err != nil {
		return err
	}
	// A start that was cut off leaves a container that nobody has adopted.
	if err := b.discardOrphan(); err != nil {
		return err
	}
	if err := b.api.Close(); err != nil {
		return err
	}
	if b.serving != nil {
		<-b.serving
	}
	if b.endpoint != nil {
		if err := b.endpoint.close(); err != nil {
			return err
		}
		b.endpoint = nil
	}
	if err := b.host.space.do(func() error { return removeSlot(b.slot) }); err != nil {
		return err
	}
	return errors.Join(b.dropScratch(), b.rt.scratch.remove(b.spec.ID), b.rt.removeRecord(b.spec.ID))
}
