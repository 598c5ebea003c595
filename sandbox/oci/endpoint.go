package oci

import (
	"errors"
	"fmt"
	"net"
	"os"
	"sync"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// endpoint is a network namespace with loopback only and the listener of the
// Runtime API in it. Nothing but these descriptors holds the namespace.
type endpoint struct {
	ns       *os.File
	listener net.Listener
}

// newEndpoint makes one. The namespace belongs to the initial user namespace,
// so a container's root has no power over it.
func newEndpoint() (*endpoint, error) {
	e := &endpoint{}
	err := onThread(func() error {
		if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
			return fmt.Errorf("unshare the network namespace: %w", err)
		}
		ns, err := os.Open("/proc/thread-self/ns/net")
		if err != nil {
			return err
		}
		e.ns = ns
		lo, err := netlink.LinkByName("lo")
		if err != nil {
			return fmt.Errorf("find the loopback interface: %w", err)
		}
		if err := netlink.LinkSetUp(lo); err != nil {
			return fmt.Errorf("start the loopback interface: %w", err)
		}
		e.listener, err = net.Listen("tcp4", apiAddress)
		return err
	})
	if err != nil {
		return nil, errors.Join(fmt.Errorf("make a network namespace: %w", err), e.close())
	}
	return e, nil
}

// path names the namespace for the OCI runtime.
func (e *endpoint) path() string {
	return fmt.Sprintf("/proc/%d/fd/%d", os.Getpid(), e.ns.Fd())
}

// close gives the namespace up. The listener may have been closed by its
// server already.
func (e *endpoint) close() error {
	var errs []error
	if e.listener != nil {
		if err := e.listener.Close(); err != nil && !errors.Is(err, net.ErrClosed) {
			errs = append(errs, err)
		}
	}
	if e.ns != nil {
		errs = append(errs, e.ns.Close())
	}
	return errors.Join(errs...)
}

// spares keeps endpoints ready. Making one takes milliseconds, most of them in
// the kernel; one goroutine at a time fills up what was taken.
type spares struct {
	ready chan *endpoint // as many as are kept

	mu      sync.Mutex
	filling bool
	closed  bool
	wait    sync.WaitGroup
}

func newSpares(n int) *spares { return &spares{ready: make(chan *endpoint, n)} }

// take returns a spare endpoint, or a new one when there is none.
func (s *spares) take() (*endpoint, error) {
	defer s.fill()
	select {
	case e := <-s.ready:
		return e, nil
	default:
		return newEndpoint()
	}
}

// fill starts to fill up, unless that is going on.
func (s *spares) fill() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.filling || s.closed || cap(s.ready) == 0 {
		return
	}
	s.filling = true
	s.wait.Go(func() {
		for s.wanted() {
			e, err := newEndpoint()
			if err != nil {
				s.stop() // take will meet the error, and report it
				return
			}
			s.ready <- e // there is room: nobody else adds
		}
	})
}

// wanted reports whether one more is wanted, and ends the filling if not.
func (s *spares) wanted() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.filling = !s.closed && len(s.ready) < cap(s.ready)
	return s.filling
}

func (s *spares) stop() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.filling = false
}

// close waits for the filling to end and closes what is left.
func (s *spares) close() error {
	s.mu.Lock()
	s.closed = true
	s.mu.Unlock()
	s.wait.Wait()
	var errs []error
	for {
		select {
		case e := <-s.ready:
			errs = append(errs, e.close())
		default:
			return errors.Join(errs...)
		}
	}
}
