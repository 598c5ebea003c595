package natsserver

import (
	"context"
	"io/fs"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"

	"thermocline"
)

// How the guard of the disk waits.
const (
	spacePoll       = 200 * time.Millisecond // between looks for space while wedged
	restartPauseMin = 500 * time.Millisecond // after a restart that helped nothing
	restartPauseMax = 30 * time.Second
	restartSettled  = time.Minute // without a failure: the pause is short again
)

// Writable returns nil when writing makes sense, and a KindUnavailable error
// while the disk is short of space or the server recovers from a failed write.
// It costs one statfs.
func (s *Server) Writable() error {
	if s.wedged.Load() {
		return thermocline.Errorf(thermocline.KindUnavailable, "The store is recovering from a failed write. Try again later.")
	}
	free, _, err := s.free(s.opts.Dir)
	if err != nil {
		return thermocline.WithCause(thermocline.KindUnavailable, err, "The store's disk cannot be examined.")
	}
	if free < s.reserve {
		return thermocline.Errorf(thermocline.KindUnavailable,
			"The store's disk is full (%d MB free, %d MB are kept in reserve). Free some space, then try again.", free>>20, s.reserve>>20)
	}
	return nil
}

// Failed reports that JetStream could not write. A JetStream whose write failed
// refuses every later one, also after space was freed, while it claims to be
// enabled: so writes are refused from now on, and the server is restarted.
func (s *Server) Failed() {
	s.wedged.Store(true)
	select {
	case s.wedge <- struct{}{}:
	default:
	}
}

// watchDisk restarts the server after a failed write, once there is space.
func (s *Server) watchDisk() {
	pause := restartPauseMin
	var last time.Time
	for {
		select {
		case <-s.done:
			return
		case <-s.wedge:
		}
		if time.Since(last) > restartSettled {
			pause = restartPauseMin
		} else if !s.sleep(pause) {
			return
		} else {
			pause = min(2*pause, restartPauseMax)
		}
		if !s.awaitSpace() || !s.restart() {
			return
		}
		last = time.Now()
	}
}

// awaitSpace waits until more than the reserve is free; false means closing.
func (s *Server) awaitSpace() bool {
	s.log.Error("JetStream failed to write; writes are refused until there is space")
	for {
		free, _, err := s.free(s.opts.Dir)
		// Without a reserve there must still be something to write into.
		if err == nil && free >= max(s.reserve, 1<<20) {
			return true
		}
		if !s.sleep(spacePoll) {
			return false
		}
	}
}

// restart replaces the incarnation; false means closing.
func (s *Server) restart() bool {
	s.stop()
	pause := restartPauseMin
	for {
		// What the dying incarnation complained about is settled by its end.
		select {
		case <-s.wedge:
		default:
		}
		s.wedged.Store(false)
		ctx, cancel := context.WithTimeout(context.Background(), readyTimeout)
		ns, err := s.launch(ctx)
		cancel()
		if err == nil {
			s.mu.Lock()
			s.ns = ns
			s.mu.Unlock()
			s.log.Warn("the embedded NATS server was restarted after a failed write")
			return true
		}
		s.wedged.Store(true)
		s.log.Error("the embedded NATS server could not be restarted", "error", err)
		if !s.sleep(pause) {
			return false
		}
		pause = min(2*pause, restartPauseMax)
	}
}

// sleep waits for d; false means closing.
func (s *Server) sleep(d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-s.done:
		return false
	case <-t.C:
		return true
	}
}

func reserveOf(configured, total int64) int64 {
	switch {
	case configured < 0:
		return 0
	case configured > 0:
		return configured
	}
	return min(DefaultReserve, total/20)
}

// freeSpace returns what an ordinary user may still write, in bytes.
func freeSpace(dir string) (free, total int64, err error) {
	var st unix.Statfs_t
	if err := unix.Statfs(dir, &st); err != nil {
		return 0, 0, err
	}
	return int64(st.Bavail) * st.Bsize, int64(st.Blocks) * st.Bsize, nil
}

// used is the size of the files below dir. What vanishes meanwhile is not
// counted.
func used(dir string) int64 {
	var n int64
	_ = filepath.WalkDir(dir, func(_ string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return nil
		}
		if info, err := d.Info(); err == nil {
			n += info.Size()
		}
		return nil
	})
	return n
}
