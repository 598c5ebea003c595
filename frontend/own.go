package frontend

import (
	"bytes"
	"context"
	"encoding/json"
	"net/http"
	"strconv"
	"sync"
	"time"

	"thermocline"
	"thermocline/dispatch"
	"thermocline/fleet"
	"thermocline/sandbox"
	"thermocline/store"
)

// health answers whoever asks that the process serves.
func (s *Server) health(w http.ResponseWriter) {
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(struct {
		Status  string `json:"status"`
		Version string `json:"version"`
		Node    string `json:"node"`
	}{"ok", s.opts.Version, s.opts.Node})
}

// explain says where a function's invocations go, and why.
func (q *request) explain() error {
	r, err := q.function()
	if err != nil {
		return err
	}
	f, err := q.find(r)
	if err != nil {
		return err
	}
	usage := q.server.opts.History.Usage(f.FunctionID, q.now)
	x := q.server.opts.Fleets.Explain(f.FunctionID, usage, q.server.opts.Pace.Policy(q.now))
	managers := q.server.opts.Dispatch.Managers()
	config := q.server.opts.Fleets.Fleet(x.Fleet)
	// In a queue the partition's lessee is asked first; see dispatch.Route.
	if config.Dispatch == fleet.DispatchQueue {
		lessees := dispatch.Lessees(managers, x.Fleet)
		if home := lessees[dispatch.PartitionOf(f.Account, f.Name)]; home != "" {
			x.Managers = append(x.Managers, home)
		}
	}
	// The random number 0 leaves the function's own order.
	for _, m := range fleet.Choose(nil, config, f.FunctionID, usage, managers, 0) {
		if len(x.Managers) == 0 || m != x.Managers[0] {
			x.Managers = append(x.Managers, m)
		}
	}
	if len(x.Managers) > 0 {
		x.Manager = x.Managers[0]
	}
	return q.reply(http.StatusOK, struct {
		fleet.Explanation
		Starts starts `json:"starts"`
	}{x, startsOf(f)})
}

// starts says how the function's sandboxes come to be.
type starts struct {
	// Kind is "pooled" when they can come from the warming pool, "full" when
	// they are started from nothing each time, because of the environment
	// variables in Because, which are read when the process starts.
	Kind    thermocline.StartKind `json:"kind"`
	Because []string              `json:"because,omitempty"`
}

func startsOf(f *thermocline.Function) starts {
	if because := sandbox.ReadAtStart(f.Environment); len(because) > 0 {
		return starts{Kind: thermocline.StartFull, Because: because}
	}
	return starts{Kind: thermocline.StartPooled}
}

// fleetAnswer is a fleet as people look at it.
type fleetAnswer struct {
	Name      string                      `json:"name"`
	Dispatch  string                      `json:"dispatch"`
	Enter     string                      `json:"enter,omitempty"`
	Stay      string                      `json:"stay,omitempty"`
	Dwell     string                      `json:"dwell"`
	Functions int                         `json:"functions"`
	Rate      float64                     `json:"rate"`               // invocations per second, over a minute
	Queued    *int                        `json:"queued,omitempty"`   // the operator's
	Managers  []thermocline.ManagerStatus `json:"managers,omitempty"` // the operator's
}

// fleets lists the fleets with what is in them: for the operator everything,
// for other accounts their own functions.
func (q *request) fleets() error {
	ctx, cancel := context.WithTimeout(q.r.Context(), storeTimeout)
	defer cancel()
	s := q.server
	if operator, err := q.isOperator(); err != nil {
		return err
	} else if !operator {
		return q.ownFleets()
	}
	var managers []thermocline.ManagerStatus
	if s.opts.Managers != nil {
		var err error
		if managers, err = s.opts.Managers.Status(ctx); err != nil {
			return err
		}
	}
	queued, err := s.opts.Dispatch.Queued(ctx)
	if err != nil {
		return err
	}
	rates := make(map[string]float64)
	s.opts.History.Each(q.now, func(id thermocline.FunctionID, u thermocline.Usage) bool {
		rates[s.opts.Fleets.Classify(id, u, s.opts.Pace.Policy(q.now)).Fleet] += u.RateMinute
		return true
	})
	members := s.opts.Fleets.Members()
	answer := struct {
		Fleets []fleetAnswer `json:"fleets"`
	}{}
	for i, c := range s.opts.Fleets.Fleets() {
		f := fleetAnswer{
			Name: c.Name, Dispatch: c.Dispatch, Enter: c.Enter, Stay: c.Stay, Dwell: c.Dwell.String(),
			Functions: members[i], Rate: rates[c.Name],
		}
		n := queued[c.Name]
		f.Queued = &n
		for _, m := range managers {
			if m.Fleet == c.Name {
				f.Managers = append(f.Managers, m)
			}
		}
		answer.Fleets = append(answer.Fleets, f)
	}
	return q.reply(http.StatusOK, answer)
}

// ownFleets lists the fleets with the functions of the caller's account.
func (q *request) ownFleets() error {
	s := q.server
	functions, rates := make(map[string]int), make(map[string]float64)
	s.opts.History.Each(q.now, func(id thermocline.FunctionID, u thermocline.Usage) bool {
		if id.Account == q.identity.Account {
			name := s.opts.Fleets.Classify(id, u, s.opts.Pace.Policy(q.now)).Fleet
			functions[name]++
			rates[name] += u.RateMinute
		}
		return true
	})
	answer := struct {
		Fleets []fleetAnswer `json:"fleets"`
	}{}
	for _, c := range s.opts.Fleets.Fleets() {
		answer.Fleets = append(answer.Fleets, fleetAnswer{
			Name: c.Name, Dispatch: c.Dispatch, Enter: c.Enter, Stay: c.Stay, Dwell: c.Dwell.String(),
			Functions: functions[c.Name], Rate: rates[c.Name],
		})
	}
	return q.reply(http.StatusOK, answer)
}

// runtimes lists the runtimes and whether they can run here.
func (q *request) runtimes() error {
	list, err := q.server.opts.Runtimes.List(q.r.Context())
	if err != nil {
		return err
	}
	return q.reply(http.StatusOK, struct {
		Runtimes []Runtime `json:"runtimes"`
	}{list})
}

// logs streams the lines of a function's log as JSON objects, one a line.
func (q *request) logs() error {
	r, err := q.function()
	if err != nil {
		return err
	}
	if _, err := q.latest(r); err != nil {
		return err
	}
	query, err := q.logQuery(r)
	if err != nil {
		return err
	}
	q.w.Header().Set("Content-Type", "application/x-ndjson")
	q.w.WriteHeader(http.StatusOK)
	stream := newLineStream(q.w)
	stop := stream.keepAlive(query.Follow)
	// The connection goes on to be used.
	defer func() { _ = stream.control.SetWriteDeadline(time.Time{}) }()
	defer stop()
	err = q.server.opts.Store.Read(q.r.Context(), query, func(line thermocline.LogLine) error {
		return stream.send(line, query.Follow)
	})
	if err != nil && q.r.Context().Err() == nil {
		// The status is sent: breaking the connection off is what is left, so
		// that nobody takes the part for the whole.
		panic(http.ErrAbortHandler)
	}
	return nil
}

func (q *request) logQuery(r ref) (store.LogQuery, error) {
	query := store.LogQuery{Account: q.identity.Account, Function: r.name}
	if since := q.query.Get("since"); since != "" {
		t, err := time.Parse(time.RFC3339Nano, since)
		if err != nil {
			return query, invalid("since must be a time such as 2026-11-23T10:00:00Z, not %q", since)
		}
		query.Since = t
	}
	if limit := q.query.Get("limit"); limit != "" {
		n, err := strconv.Atoi(limit)
		if err != nil || n < 0 {
			return query, invalid("limit must be a number of lines, not %q", limit)
		}
		query.Limit = n
	}
	if follow := q.query.Get("follow"); follow != "" {
		on, err := strconv.ParseBool(follow)
		if err != nil {
			return query, invalid("follow must be true or false, not %q", follow)
		}
		query.Follow = on
	}
	return query, nil
}

const (
	streamWrite = 30 * time.Second // a reader slower than this is gone
	streamAlive = 15 * time.Second // between empty lines of a quiet stream
)

// lineStream writes lines to a client, from one goroutine at a time.
type lineStream struct {
	mu      sync.Mutex
	w       http.ResponseWriter
	control *http.ResponseController
	buffer  bytes.Buffer
	encoder *json.Encoder
}

func newLineStream(w http.ResponseWriter) *lineStream {
	s := &lineStream{w: w, control: http.NewResponseController(w)}
	s.encoder = json.NewEncoder(&s.buffer)
	s.encoder.SetEscapeHTML(false)
	return s
}

func (s *lineStream) send(line thermocline.LogLine, flush bool) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.buffer.Reset()
	if err := s.encoder.Encode(line); err != nil {
		return err
	}
	return s.write(s.buffer.Bytes(), flush)
}

func (s *lineStream) write(b []byte, flush bool) error {
	_ = s.control.SetWriteDeadline(time.Now().Add(streamWrite)) // not every writer can
	if _, err := s.w.Write(b); err != nil {
		return err
	}
	if flush {
		return s.control.Flush()
	}
	return nil
}

// keepAlive sends the headers, and then an empty line now and then, until stop
// is called; stop waits for it to end.
func (s *lineStream) keepAlive(follow bool) (stop func()) {
	if !follow {
		return func() {}
	}
	done, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		tick := time.NewTicker(streamAlive)
		defer tick.Stop()
		for {
			s.mu.Lock()
			err := s.write([]byte("\n"), true)
			s.mu.Unlock()
			if err != nil {
				return // Read's own write, or the request's end, will notice
			}
			select {
			case <-done:
				return
			case <-tick.C:
			}
		}
	}()
	return func() { close(done); <-ended }
}
