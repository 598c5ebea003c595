package manager_test

import (
	"testing"
	"testing/synctest"

	"thermocline"
	"thermocline/instance"
	"thermocline/manager"
)

func TestLedger(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNode(4096)
		l := manager.NewLedger(&sized{n, 4096})
		first, second := l.Share(), l.Share()
		if got := l.GuaranteedMB(); got != 1024 {
			t.Fatalf("guaranteed %d MB each, want a quarter", got)
		}
		acquire := func(p instance.Provider, mb int) (instance.Instance, error) {
			return p.Acquire(t.Context(), instance.Request{Owner: "m", MemoryMB: mb})
		}
		var held []instance.Instance
		for range 3 {
			in, err := acquire(first, 1024)
			if err != nil {
				t.Fatalf("the first share was refused what is free: %v", err)
			}
			held = append(held, in)
		}
		if _, free := first.Capacity(); free != 0 {
			t.Errorf("the first share sees %d MB, which are the second's", free)
		}
		if _, err := acquire(first, 512); thermocline.KindOf(err) != thermocline.KindRefused {
			t.Errorf("the first share took of what is guaranteed to the second: %v", err)
		}
		in, err := acquire(second, 1024)
		if err != nil {
			t.Errorf("the second share was refused its guarantee: %v", err)
		}
		held = append(held, in)
		if _, err := acquire(second, 128); thermocline.KindOf(err) != thermocline.KindRefused {
			t.Errorf("all is used, and Acquire returned %v", err)
		}
		_ = held[0].Close(t.Context())
		synctest.Wait()
		if _, free := second.Capacity(); free != 1024 {
			t.Errorf("after an instance was closed the second share sees %d MB, want 1024", free)
		}
		for _, in := range held {
			_ = in.Close(t.Context())
		}
	})
}

// sized is a node that knows its size.
type sized struct {
	*node
	total int
}

func (s *sized) Capacity() (int, int) {
	_, free := s.node.Capacity()
	return s.total, free
}
