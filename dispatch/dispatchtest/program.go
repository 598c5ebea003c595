package dispatchtest

import (
	"bytes"
	"context"
	"errors"
	"time"

	"github.com/google/go-cmp/cmp"

	"thermocline"
)

// A program travels with its code, whatever its size, and comes back with its
// output.
func testProgram(b *bench) {
	large := bytes.Repeat([]byte("0123456789abcdef"), largePayload/32)
	results := map[string]*thermocline.Result{
		"small": {Payload: []byte(`1`), Output: []byte("a\nb\n"), OutputDropped: 3, Report: thermocline.Report{Setup: time.Millisecond}},
		"large": {Payload: large, Output: large, Report: thermocline.Report{Setup: time.Millisecond}},
	}
	m := manager("a", 4)
	m.Run = func(_ context.Context, inv *thermocline.Invocation) (*thermocline.Result, error) {
		return results[inv.Program.Handler], nil
	}
	b.setUp(Config{}, m)
	for size, code := range map[string][]byte{"small": []byte("zip"), "large": large} {
		program := thermocline.Program{
			Runtime: "nodejs20.x", Handler: size, Region: "eu-west-1", MemoryMB: 128, TmpMB: 512, Timeout: time.Second,
			Environment: map[string]string{"A": "b"}, Code: code,
		}
		for name, r := range bothModes(b.leasedBy("a"), "a") {
			inv := b.invocation()
			inv.Program = &program
			got, err := b.bed.Client.Invoke(b.Context(), r, inv)
			if err != nil {
				b.Fatalf("%s, %s: %v", name, size, err)
			}
			want := results[size]
			if !bytes.Equal(want.Payload, got.Payload) || !bytes.Equal(want.Output, got.Output) || want.OutputDropped != got.OutputDropped || want.Report != got.Report {
				b.Errorf("%s, %s: the result came back changed", name, size)
			}
			ran := m.Ran()
			last := ran[len(ran)-1]
			if !bytes.Equal(inv.Payload, last.Payload) || !bytes.Equal(code, last.Program.Code) {
				b.Errorf("%s, %s: payload or code came changed", name, size)
			}
			arrived := *last.Program
			arrived.Code = program.Code
			if d := cmp.Diff(program, arrived); d != "" {
				b.Errorf("%s, %s: program (-want +got):\n%s", name, size, d)
			}
		}
	}
	inv := b.invocation()
	inv.Program = &thermocline.Program{Code: make([]byte, thermocline.MaxProgram)}
	_, err := b.bed.Client.Invoke(b.Context(), bothModes(0, "a")["direct"], inv)
	b.want(err, thermocline.KindRequestTooLarge)
}

// Whoever waits for a program ends it by going away; other programs and
// functions go on.
func testProgramCancel(b *bench) {
	pass, open := b.gate()
	defer open()
	ended := make(chan string, 8)
	m := manager("a", 8)
	m.Run = func(ctx context.Context, inv *thermocline.Invocation) (*thermocline.Result, error) {
		if inv.Program == nil {
			pass()
			return &thermocline.Result{RequestID: inv.RequestID}, ctx.Err()
		}
		select {
		case <-ctx.Done():
			ended <- inv.RequestID
			return nil, ctx.Err()
		case <-time.After(time.Minute):
			return &thermocline.Result{RequestID: inv.RequestID}, nil
		}
	}
	b.setUp(Config{}, m)
	for name, r := range bothModes(b.leasedBy("a"), "a") {
		before := len(m.Ran())
		other := b.begin(b.Context(), r, b.invocation())
		ctx, cancel := context.WithCancel(b.Context())
		inv := b.invocation()
		inv.Program = &thermocline.Program{Code: []byte("zip")}
		c := b.begin(ctx, r, inv)
		b.eventually("both run", func() bool { return len(m.Ran()) == before+2 })
		cancel()
		if got := <-c; !errors.Is(got.err, context.Canceled) {
			b.Errorf("%s: %v, want the context's error", name, got.err)
		}
		select {
		case id := <-ended:
			if id != inv.RequestID {
				b.Errorf("%s: %s was ended, want %s", name, id, inv.RequestID)
			}
		case <-time.After(5 * time.Second):
			b.Errorf("%s: the program goes on", name)
		}
		select {
		case got := <-other:
			b.Errorf("%s: the function was ended too: %v", name, got.err)
		default:
		}
		open()
		if got := <-other; got.err != nil {
			b.Errorf("%s: the function: %v", name, got.err)
		}
		pass, open = b.gate()
	}
}
