package instancetest_test

import (
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"thermocline/instance"
	"thermocline/instance/instancetest"
	"thermocline/sandbox/sandboxtest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestFakeConformance(t *testing.T) {
	instancetest.Run(t, func(t *testing.T) instancetest.Harness {
		machine := &instancetest.Machine{}
		sandboxes := sandboxtest.NewFake(instancetest.Program)
		provider := func(node string) instance.Provider {
			return instancetest.NewFake(instancetest.FakeOptions{TotalMB: 8 * 256, Start: sandboxes.Start, Machine: machine, Node: node})
		}
		return instancetest.Harness{
			Provider: provider("a"), InstanceMB: 256, Spec: instancetest.FakeSpec,
			Successor: func() instance.Provider { return provider("a") },
			Stranger:  func() instance.Provider { return provider("b") },
			Left:      func() []string { return append(machine.Left(), sandboxes.Open()...) },
		}
	})
}

func TestFakeFaults(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sandboxes := sandboxtest.NewFake(instancetest.Program)
		broken := errors.New("broken")
		fail := true
		fake := instancetest.NewFake(instancetest.FakeOptions{
			TotalMB: 512, Start: sandboxes.Start, AcquireDelay: 5 * time.Second,
			AcquireError: func(instance.Request) error {
				if fail {
					return broken
				}
				return nil
			},
		})
		begin := time.Now()
		if _, err := fake.Acquire(t.Context(), instance.Request{Owner: "m", MemoryMB: 512}); !errors.Is(err, broken) {
			t.Errorf("Acquire = %v, want the fault", err)
		}
		if took := time.Since(begin); took != 5*time.Second {
			t.Errorf("Acquire took %v", took)
		}
		if _, free := fake.Capacity(); free != 512 {
			t.Errorf("after a fault %d MB are free, want 512", free)
		}
		fail = false
		i, err := fake.Acquire(t.Context(), instance.Request{Owner: "m", MemoryMB: 512})
		if err != nil {
			t.Fatal(err)
		}
		spec := instancetest.FakeSpec()
		spec.ID = "box"
		if _, err := i.Start(t.Context(), spec); err != nil {
			t.Fatal(err)
		}
		lost := fake.Instances()[0]
		if ids := lost.Sandboxes(); len(ids) != 1 || ids[0] != "box" {
			t.Errorf("Sandboxes() = %v", ids)
		}
		if err := lost.Lose(); err != nil {
			t.Fatal(err)
		}
		<-i.Done()
		if open := sandboxes.Open(); len(open) != 0 {
			t.Errorf("open after the loss: %v", open)
		}
	})
}
