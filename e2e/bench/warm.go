package main

import (
	"context"
	"fmt"
	"runtime"
	"slices"
	"time"
)

// The clients of the two warm measurements.
const (
	one  = 1
	many = 32
)

// Side is what one side gave, over all rounds.
type Side struct {
	P50us float64 `json:"p50_us"` // at one client
	P99us float64 `json:"p99_us"`
	// PerSecond, P50ManyMs and P99ManyMs are at 32 clients.
	PerSecond float64 `json:"per_second"`
	P50ManyMs float64 `json:"p50_32_ms"`
	P99ManyMs float64 `json:"p99_32_ms"`
	// CPUus is the processor time of the server's process per request, at one
	// client and at 32; runtime processes are not in it.
	CPUus     float64 `json:"cpu_us"`
	CPUManyUs float64 `json:"cpu_32_us"`
	// RuntimeManyUs is that of the runtime processes at 32 clients.
	RuntimeManyUs float64 `json:"runtime_cpu_32_us,omitempty"`
	Requests      int     `json:"requests"`
	// Processes is how many runtime processes served 32 clients.
	Processes int `json:"processes,omitempty"`
}

// Comparison is the platform against one side: ratios platform/side, the lower
// the better but for the throughput.
type Comparison struct {
	P50        Ratio `json:"p50"`
	Throughput Ratio `json:"throughput"`
}

// side is one side while it is measured.
type side struct {
	name    string
	target  target
	pid     int
	limit   func(clients int) error // before a round; nil: nothing to do
	onlyFor int                     // clients; 0: both
	runtime func() time.Duration    // processor time of the runtime processes; nil: they are in the server

	oneAll, manyAll   []time.Duration
	onep50, manyRate  []float64
	cpuOne, cpuMany   time.Duration
	runtimeMany       time.Duration
	sentOne, sentMany int
}

// measure runs one round of one side.
func (s *side) measure(ctx context.Context, clients int, d time.Duration) error {
	if s.limit != nil {
		if err := s.limit(clients); err != nil {
			return err
		}
	}
	before, err := cpu(s.pid)
	if err != nil {
		return err
	}
	runtimes := s.runtimes()
	l, err := drive(ctx, s.target, clients, d)
	if err != nil {
		return fmt.Errorf("%s with %d clients: %w", s.name, clients, err)
	}
	after, err := cpu(s.pid)
	if err != nil {
		return err
	}
	if clients == one {
		s.oneAll = append(s.oneAll, l.latencies...)
		s.onep50 = append(s.onep50, float64(quantile(l.latencies, 0.5)))
		s.cpuOne += after - before
		s.sentOne += l.requests
		return nil
	}
	s.manyAll = append(s.manyAll, l.latencies...)
	s.manyRate = append(s.manyRate, l.throughput())
	s.cpuMany += after - before
	s.runtimeMany += s.runtimes() - runtimes
	s.sentMany += l.requests
	return nil
}

func (s *side) runtimes() time.Duration {
	if s.runtime == nil {
		return 0
	}
	return s.runtime()
}

func (s *side) result() Side {
	slices.Sort(s.oneAll)
	slices.Sort(s.manyAll)
	per := func(d time.Duration, n int) float64 {
		return roundTo(float64(d.Microseconds())/float64(max(n, 1)), 0)
	}
	return Side{
		P50us: micros(quantile(s.oneAll, 0.5)), P99us: micros(quantile(s.oneAll, 0.99)),
		PerSecond: roundTo(mean(s.manyRate), 0),
		P50ManyMs: roundTo(millis(quantile(s.manyAll, 0.5)), 2), P99ManyMs: roundTo(millis(quantile(s.manyAll, 0.99)), 2),
		CPUus: per(s.cpuOne, s.sentOne), CPUManyUs: per(s.cpuMany, s.sentMany),
		RuntimeManyUs: per(s.runtimeMany, s.sentMany),
		Requests:      s.sentOne + s.sentMany,
	}
}

func micros(d time.Duration) float64 { return roundTo(float64(d.Nanoseconds())/1000, 0) }

// warm measures one function, warm, on all sides.
func (b *bench) warm(ctx context.Context, f function) (*Function, error) {
	name := "warm-" + f.Name
	if err := b.server.deploy(ctx, f, nil, name); err != nil {
		return nil, err
	}
	out := &Function{Name: f.Name, Runtime: f.Runtime, Sides: map[string]Side{}, Ratios: map[string]Comparison{}}
	raw, err := startBare(f, many, b.runtimeDir)
	if err != nil {
		return nil, err
	}
	defer func() { _ = raw.stop() }() // kills what is left
	children := func() time.Duration { return childrenCPU(raw.process.cmd.Process.Pid) }
	sandboxes := func() time.Duration { return groupCPU(b.server.node) }
	sides := []*side{
		{name: "platform", target: b.server.target(name, answerPart), pid: b.server.process.cmd.Process.Pid, runtime: sandboxes},
		{name: "bare", target: raw.target(b.server, name), pid: raw.process.cmd.Process.Pid, runtime: children, limit: func(int) error { return raw.limit(many) }},
	}
	if f.Name == "nodejs" && b.workerd != "" {
		w, err := startWorkerd(b.workerd, b.tmp, b.nodeVersion(ctx, f))
		if err != nil {
			return nil, err
		}
		defer w.stop()
		sides = append(sides, &side{name: "workerd", target: w.target(b.server, name), pid: w.process.cmd.Process.Pid})
	}
	// Sandboxes start, fleets change, compilers warm up: none of it is measured.
	b.say("%s: warming up", f.Name)
	for _, s := range sides {
		for _, clients := range []int{one, many} {
			if err := b.warmUp(ctx, s.target, clients); err != nil {
				return nil, fmt.Errorf("%s: warm up: %w", s.name, err)
			}
		}
	}
	best, err := b.bestLimit(ctx, f, raw, sides[1].target)
	if err != nil {
		return nil, err
	}
	if best != many {
		sides = append(sides, &side{
			name: "bare-best", target: sides[1].target, pid: sides[1].pid, onlyFor: many, runtime: children,
			limit: func(int) error { return raw.limit(best) },
		})
	}
	if err := b.rounds(ctx, f, sides); err != nil {
		return nil, err
	}
	out.IdleMB, out.ChargedMB, out.Sandboxes = b.idleMemory(ctx)
	for _, s := range sides {
		r := s.result()
		switch s.name {
		case "bare":
			r.Processes = many
		case "bare-best":
			r.Processes = best
		}
		out.Sides[s.name] = r
		if s != sides[0] {
			out.Ratios[s.name] = Comparison{P50: ratio(sides[0].onep50, s.onep50), Throughput: ratio(sides[0].manyRate, s.manyRate)}
		}
	}
	return out, nil
}

// rounds lets the sides take turns, each round beginning with another.
func (b *bench) rounds(ctx context.Context, f function, sides []*side) error {
	for round := range b.roundCount {
		b.say("%s: round %d of %d", f.Name, round+1, b.roundCount)
		for _, clients := range []int{one, many} {
			for i := range sides {
				s := sides[(i+round)%len(sides)]
				if s.onlyFor != 0 && s.onlyFor != clients {
					continue
				}
				if err := s.measure(ctx, clients, b.time); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

// warmUp drives a target until it gets no faster: sandboxes start, and a
// refusal meanwhile is no failure.
func (b *bench) warmUp(ctx context.Context, t target, clients int) (err error) {
	before := 0.0
	for range 10 {
		var l load
		if l, err = drive(ctx, t, clients, 2*b.time); ctx.Err() != nil {
			return err
		}
		if now := l.throughput(); err == nil && now < 1.15*before {
			return nil
		} else if err == nil {
			before = now
		}
	}
	return err
}

// bestLimit finds how many runtime processes give the bare loop its best
// throughput: the platform has a sandbox for each client, which on few
// processors is not the best number.
func (b *bench) bestLimit(ctx context.Context, f function, raw *bare, t target) (int, error) {
	best, most := many, 0.0
	for _, n := range []int{1, runtime.NumCPU(), 2 * runtime.NumCPU(), 4 * runtime.NumCPU(), many} {
		if err := raw.limit(n); err != nil {
			return 0, err
		}
		l, err := drive(ctx, t, many, b.time)
		if err != nil {
			return 0, fmt.Errorf("bare with %d processes: %w", n, err)
		}
		if l.throughput() > most {
			best, most = n, l.throughput()
		}
	}
	b.say("%s: the bare loop is best with %d processes", f.Name, best)
	return best, nil
}

// idleMemory is measured once all sandboxes are frozen.
func (b *bench) idleMemory(ctx context.Context) (pss, charged float64, sandboxes int) {
	select {
	case <-ctx.Done():
	case <-time.After(time.Second):
	}
	p, c, n := sandboxMemory(b.server.node)
	return roundTo(float64(p)/(1<<20), 1), roundTo(float64(c)/(1<<20), 1), n
}
