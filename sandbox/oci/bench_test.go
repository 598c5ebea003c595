package oci_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"thermocline/sandbox"
	"thermocline/sandbox/oci"
	"thermocline/sandbox/sandboxtest"
)

// BenchmarkFullStart is from nothing to the first answer.
func BenchmarkFullStart(b *testing.B) {
	eachRuntime(b, func(b *testing.B, rt *oci.Runtime, runtime, code string) {
		measure(b, func(i int) (time.Duration, sandbox.Sandbox) {
			begin := time.Now()
			s := benchStart(b, rt, runtime, i, &sandbox.Binding{Function: testFunction(runtime), CodeDir: code})
			benchInvoke(b, s)
			return time.Since(begin), s
		})
	})
}

// BenchmarkSpecialise is from the decision to the first answer of a sandbox
// that waited, frozen.
func BenchmarkSpecialise(b *testing.B) {
	eachRuntime(b, func(b *testing.B, rt *oci.Runtime, runtime, code string) {
		measure(b, func(i int) (time.Duration, sandbox.Sandbox) {
			s := benchStart(b, rt, runtime, i, nil)
			time.Sleep(100 * time.Millisecond)
			if err := s.Freeze(b.Context()); err != nil {
				b.Fatal(err)
			}
			begin := time.Now()
			if err := s.Thaw(b.Context()); err != nil {
				b.Fatal(err)
			}
			if err := s.Specialise(b.Context(), sandbox.Binding{Function: testFunction(runtime), CodeDir: code}); err != nil {
				b.Fatal(err)
			}
			benchInvoke(b, s)
			return time.Since(begin), s
		})
	})
}

// BenchmarkWarm is one invocation of a sandbox that was frozen.
func BenchmarkWarm(b *testing.B) {
	eachRuntime(b, func(b *testing.B, rt *oci.Runtime, runtime, code string) {
		s := benchStart(b, rt, runtime, 0, &sandbox.Binding{Function: testFunction(runtime), CodeDir: code})
		defer s.Close()
		benchInvoke(b, s)
		measure(b, func(int) (time.Duration, sandbox.Sandbox) {
			if err := s.Freeze(b.Context()); err != nil {
				b.Fatal(err)
			}
			begin := time.Now()
			if err := s.Thaw(b.Context()); err != nil {
				b.Fatal(err)
			}
			benchInvoke(b, s)
			return time.Since(begin), nil
		})
	})
}

func eachRuntime(b *testing.B, f func(b *testing.B, rt *oci.Runtime, runtime, code string)) {
	for _, runtime := range []string{"nodejs20.x", "python3.11"} {
		b.Run(runtime, func(b *testing.B) {
			requireHost(b, runtime)
			f(b, newRuntime(b, config(b)), runtime, sandboxtest.WriteProgram(b, runtime))
		})
	}
}

func benchStart(b *testing.B, rt *oci.Runtime, runtime string, i int, binding *sandbox.Binding) sandbox.Sandbox {
	b.Helper()
	s, err := rt.Start(b.Context(), sandbox.Spec{ID: fmt.Sprintf("bench-%d", i), Runtime: runtime, MemoryMB: 128, Binding: binding}, "")
	if err != nil {
		b.Fatal(err)
	}
	return s
}

func benchInvoke(b *testing.B, s sandbox.Sandbox) {
	b.Helper()
	out, err := s.Invoke(b.Context(), sandbox.Invocation{RequestID: "r-1", Payload: []byte(`{"do":"echo","value":1}`), Timeout: 5 * time.Second})
	if err != nil || string(out.Payload) != "1" {
		b.Fatalf("%s, %v", out.Payload, err)
	}
}

// measure reports the median of f's own measure, in ms.
func measure(b *testing.B, f func(i int) (time.Duration, sandbox.Sandbox)) {
	var took []time.Duration
	for i := 0; b.Loop(); i++ {
		d, s := f(i)
		took = append(took, d)
		if s != nil {
			if err := s.Close(); err != nil {
				b.Fatal(err)
			}
		}
	}
	slices.Sort(took)
	b.ReportMetric(float64(took[len(took)/2].Microseconds())/1000, "p50-ms")
	b.ReportMetric(float64(took[len(took)*95/100].Microseconds())/1000, "p95-ms")
}
