package fleet

import (
	"strings"
	"sync"
	"time"

	"thermocline"
)

const (
	shardCount = 64

	// fresh is how long a decision stands while the usage does not move.
	fresh = time.Second
	// moved is the relative change of the fast count or of the concurrency
	// that has a decision taken anew at once.
	moved = 0.1

	// maxMembers bounds the functions whose fleet is remembered. Those in the
	// last fleet go first: they are where they would begin.
	maxMembers = 1_000_000
)

// Set is the fleets and who is in them. Its methods are safe for concurrent
// use; Classify takes one shard's lock.
type Set struct {
	fleets []fleet
	shards [shardCount]shard
}

type fleet struct {
	FleetConfig
	enter, stay *expression
}

type shard struct {
	mu      sync.Mutex
	members map[thermocline.FunctionID]*member
	_       [64]byte // keeps neighbours' locks off one cache line
}

// member is a function's place. Times are Unix ns.
type member struct {
	fleet int
	since int64

	// the last evaluation
	at          int64
	count       float64
	concurrency float64
}

// Decision is where a function belongs.
type Decision struct {
	Fleet string
	Index int       // of the fleet in the configuration
	Since time.Time // since when
	Moved bool      // this decision moved it
	From  string    // from where, "" when it was not known before
}

// New compiles a configuration. The error, of KindValidation, names every
// fault; an expression's with fleet, expression, line:column and a caret.
func New(c Config) (*Set, error) {
	faults := c.faults()
	env, err := newEnv()
	if err != nil {
		return nil, thermocline.WithCause(thermocline.KindInternal, err, "the expression language cannot be set up")
	}
	s := &Set{}
	for _, f := range c.Fleets[:min(len(c.Fleets), maxFleets)] {
		built := fleet{FleetConfig: f.withDefaults()}
		for _, part := range []struct {
			name, text string
			to         **expression
		}{{"enter", f.Enter, &built.enter}, {"stay", f.Stay, &built.stay}} {
			if part.text == "" {
				continue
			}
			e, err := compile(env, "fleet "+f.Name+": "+part.name, part.text)
			if err != nil {
				faults = append(faults, err.Error())
			}
			*part.to = e
		}
		s.fleets = append(s.fleets, built)
	}
	if len(faults) > 0 {
		return nil, invalid("%s", strings.Join(faults, "\n"))
	}
	for i := range s.shards {
		s.shards[i].members = make(map[thermocline.FunctionID]*member)
	}
	return s, nil
}

// Fleets returns the fleets in order, with defaults filled in.
func (s *Set) Fleets() []FleetConfig {
	var fs []FleetConfig
	for i := range s.fleets {
		fs = append(fs, s.fleets[i].FleetConfig)
	}
	return fs
}

// Fleet returns one fleet by its name, nil if there is none. It must not be
// changed.
func (s *Set) Fleet(name string) *FleetConfig {
	for i := range s.fleets {
		if s.fleets[i].Name == name {
			return &s.fleets[i].FleetConfig
		}
	}
	return nil
}

// Classify decides a function's fleet by its usage.
//
// The decision is taken anew when a second has gone by since the last one, or
// the fast count or the concurrency moved by a tenth; otherwise it is
// remembered.
func (s *Set) Classify(id thermocline.FunctionID, u thermocline.Usage, now time.Time) Decision {
	ns := now.UnixNano()
	sh := &s.shards[hashFunction(id)%shardCount]
	sh.mu.Lock()
	defer sh.mu.Unlock()
	m := sh.members[id]
	if m != nil && !m.stale(&u, ns) {
		return Decision{Fleet: s.fleets[m.fleet].Name, Index: m.fleet, Since: time.Unix(0, m.since)}
	}
	d := Decision{}
	v := valuesOf(&u, now)
	if m == nil {
		m = &member{fleet: s.decide(-1, 0, &v, ns), since: ns}
		sh.add(id, m, len(s.fleets)-1)
		d.Moved = true
	} else if to := s.decide(m.fleet, m.since, &v, ns); to != m.fleet {
		d.Moved, d.From = true, s.fleets[m.fleet].Name
		m.fleet, m.since = to, ns
	}
	m.at, m.count, m.concurrency = ns, u.CountMinute, u.Concurrency
	d.Fleet, d.Index, d.Since = s.fleets[m.fleet].Name, m.fleet, time.Unix(0, m.since)
	return d
}

// stale reports whether a decision must be taken anew.
func (m *member) stale(u *thermocline.Usage, now int64) bool {
	return now-m.at >= int64(fresh) || now < m.at ||
		differ(m.count, u.CountMinute) || differ(m.concurrency, u.Concurrency)
}

func differ(a, b float64) bool {
	d := b - a
	return d > moved*a || -d > moved*a
}

// decide is the rule: the first fleet that claims the function has it. current
// is -1 for a function that is in none.
func (s *Set) decide(current int, since int64, v *values, now int64) int {
	last := len(s.fleets) - 1
	for i := range s.fleets[:last] {
		f := &s.fleets[i]
		if i == current && (now-since < int64(f.Dwell) || f.stay.holds(v)) {
			return i
		}
		if f.enter.holds(v) {
			return i
		}
	}
	return last
}

// add remembers a new member, and forgets another when there are too many.
func (sh *shard) add(id thermocline.FunctionID, m *member, last int) {
	if len(sh.members) >= maxMembers/shardCount {
		// Any few will do, and a member of the last fleet is no loss.
		n := 0
		for other, o := range sh.members {
			if n++; o.fleet == last || n == 64 {
				delete(sh.members, other)
				break
			}
		}
	}
	sh.members[id] = m
}

// Forget drops a function that was deleted.
func (s *Set) Forget(id thermocline.FunctionID) {
	sh := &s.shards[hashFunction(id)%shardCount]
	sh.mu.Lock()
	delete(sh.members, id)
	sh.mu.Unlock()
}

// Len returns the number of functions whose fleet is remembered.
func (s *Set) Len() int {
	n := 0
	for i := range s.shards {
		sh := &s.shards[i]
		sh.mu.Lock()
		n += len(sh.members)
		sh.mu.Unlock()
	}
	return n
}

// Members returns the number of functions in each fleet, by its index.
func (s *Set) Members() []int {
	n := make([]int, len(s.fleets))
	for i := range s.shards {
		sh := &s.shards[i]
		sh.mu.Lock()
		for _, m := range sh.members {
			n[m.fleet]++
		}
		sh.mu.Unlock()
	}
	return n
}
