package host_test

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"thermocline/instance/host"
	"thermocline/instance/instancetest"
	"thermocline/sandbox"
	"thermocline/sandbox/oci"
	"thermocline/sandbox/sandboxtest"
)

var _ host.Starter = (*oci.Runtime)(nil)

// The whole of it: slices with containers in them. What a crash leaves is the
// affair of both recoveries and of TestKernelRecoverAfterAKill: the OCI runtime
// will not have a living process robbed of its state directory.
func TestConformanceWithContainers(t *testing.T) {
	requireRoot(t)
	const python = "/usr/bin/python3.11"
	for _, program := range []string{"runc", python} {
		if _, err := exec.LookPath(program); err != nil {
			if os.Getenv("CI") != "" {
				t.Fatalf("this test needs %s", program)
			}
			t.Skipf("SKIPPED: this test needs %s", program)
		}
	}
	code := sandboxtest.WriteProgram(t, "python3.11")
	spec := instancetest.FakeSpec()
	spec.Runtime = "python3.11"
	spec.Binding.CodeDir, spec.Binding.Function.Runtime = code, spec.Runtime
	spec.Binding.Function.Region = "eu-west-1"

	instancetest.Run(t, func(t *testing.T) instancetest.Harness {
		node := newNode()
		boxes, err := oci.New(oci.Config{
			StateDir: filepath.Join("/run/thermocline", node), ScratchDir: filepath.Join(t.TempDir(), "scratch"),
			Lookup: func(context.Context, string) (oci.Interpreter, error) { return oci.Interpreter{Path: python}, nil },
			Logger: slog.New(slog.DiscardHandler),
		})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { // after the suite has closed the provider
			if err := errors.Join(boxes.Close(), os.RemoveAll(filepath.Join("/run/thermocline", node))); err != nil {
				t.Error(err)
			}
		})
		p, err := host.New(host.Options{NodeID: node, StateDir: t.TempDir(), TotalMemoryMB: 4096, Starter: boxes})
		if err != nil {
			t.Fatal(err)
		}
		return instancetest.Harness{
			Provider: p, InstanceMB: 512, Sandboxes: 12,
			Spec: func() sandbox.Spec {
				s, binding := spec, *spec.Binding
				s.Binding = &binding
				return s
			},
			Left: func() []string { return groupsOf(t, node) },
		}
	})
}
