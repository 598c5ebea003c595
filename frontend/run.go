package frontend

import (
	"archive/zip"
	"bytes"
	"encoding/json"
	"math/rand/v2"
	"net/http"
	"path"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"thermocline"
	"thermocline/dispatch"
	"thermocline/fleet"
	"thermocline/store/code"
)

const (
	// maxRunBody holds the largest program in base64, or a source with every
	// byte escaped, and the largest payload beside it.
	maxRunBody         = 12 << 20
	maxRunTimeout      = 900_000 // ms
	defaultRunTimeout  = 10_000  // ms
	defaultRunMemoryMB = 128
	defaultRunTmpMB    = 512
)

// runRequest is what is to run once. Of Source and Zip one is given.
type runRequest struct {
	Runtime     string          `json:"runtime"`
	Source      *string         `json:"source"`
	Name        string          `json:"name"` // of the source's file
	Zip         []byte          `json:"zip"`
	Handler     string          `json:"handler"`
	Payload     json.RawMessage `json:"payload"`
	MemoryMB    int             `json:"memory_mb"`
	TmpMB       int             `json:"tmp_mb"`
	TimeoutMS   int             `json:"timeout_ms"`
	Environment *variables      `json:"environment"`
}

// runAnswer is what came of it.
type runAnswer struct {
	RequestID string `json:"request_id"`
	// Result is the program's, null when it has none. A result that is no JSON
	// is a string, in ResultBase64 when it is no text either.
	Result       json.RawMessage `json:"result"`
	ResultBase64 []byte          `json:"result_base64,omitempty"`
	// Error is null when the program succeeded.
	Error         *runError  `json:"error"`
	Output        string     `json:"output"`
	OutputDropped int64      `json:"output_dropped"` // bytes
	Timings       runTimings `json:"timings"`
	MemoryMB      int        `json:"memory_mb"`
	MaxMemoryMB   int        `json:"max_memory_mb"`
	Manager       string     `json:"manager"`
	Sandbox       string     `json:"sandbox"`
}

// runError is how a program failed.
type runError struct {
	Type    string   `json:"type"`
	Message string   `json:"message"`
	Trace   []string `json:"trace,omitempty"`
	// Status is "timeout", "error" when the process ended, or "" when the
	// program said so itself.
	Status string `json:"status,omitempty"`
}

// runTimings are in milliseconds. The total is from the request's arrival to
// its answer; the queue is what of it is none of the others.
type runTimings struct {
	Start thermocline.StartKind `json:"start"`
	Queue float64               `json:"queue_ms"`
	Setup float64               `json:"setup_ms"`
	Init  float64               `json:"init_ms"`
	Run   float64               `json:"run_ms"`
	Total float64               `json:"total_ms"`
}

// runProgram runs code that the request brings, once.
func (q *request) runProgram() error {
	var in runRequest
	d := json.NewDecoder(bytes.NewReader(q.body))
	d.DisallowUnknownFields()
	if err := d.Decode(&in); err != nil {
		return thermocline.Errorf(thermocline.KindInvalidContent, "Could not parse request body into json: %s", jsonProblem(q.body, err))
	}
	q.body = nil // decoded: a long body need not be held twice
	program, err := q.program(&in)
	if err != nil {
		return err
	}
	inv := &thermocline.Invocation{
		RequestID: q.id, Type: thermocline.RequestResponse, Payload: in.Payload, Program: program,
		TraceID: newTraceID(q.now), Received: q.now, StartBy: q.now.Add(q.server.opts.Limits.StartWithin), Attempt: 1,
	}
	if len(inv.Payload) == 0 {
		inv.Payload = emptyEvent
	}
	inv.Function = program.Function(q.identity.Account, q.id).FunctionID
	inv.Generation = 1
	inv.ARN = q.region.arn(q.identity.Account, inv.Function.Name, "")
	place, err := q.server.concurrency.enter(q.r.Context(), &thermocline.Function{FunctionID: inv.Function})
	if err != nil {
		return err
	}
	defer place.leave()
	// Unlike a function's caller, who goes away ends the program: nothing else
	// could be done with its outcome.
	result, err := q.server.opts.Dispatch.Invoke(q.r.Context(), q.server.runRoute(inv), inv)
	if err != nil {
		return err
	}
	return q.reply(http.StatusOK, runAnswerOf(result, q.server.opts.Now().Sub(q.now)))
}

// runRoute sends programs where the rare functions are: they have no history.
// Those of one account, runtime and memory class go to one home, so that its
// warming pool serves them all.
func (s *Server) runRoute(inv *thermocline.Invocation) dispatch.Route {
	all := s.opts.Fleets.Fleets()
	config := s.opts.Fleets.Fleet(all[len(all)-1].Name) // takes what no criteria claim
	inv.Fleet = config.Name
	like := thermocline.FunctionID{
		Account: inv.Function.Account,
		Name:    thermocline.ProgramPrefix + inv.Program.Runtime,
		Version: strconv.Itoa(inv.Program.MemoryMB),
	}
	return dispatch.Route{
		Fleet:     config.Name,
		Mode:      dispatch.Mode(config.Dispatch),
		Partition: dispatch.PartitionOf(like.Account, like.Name+" "+like.Version),
		Managers: fleet.Choose(make([]string, 0, config.Alternatives), config, like, thermocline.Usage{},
			s.opts.Dispatch.Managers(), rand.Uint64()),
	}
}

// program checks a request and makes the program of it.
func (q *request) program(in *runRequest) (*thermocline.Program, error) {
	set := func(v *int, to int) {
		if *v == 0 {
			*v = to
		}
	}
	set(&in.MemoryMB, defaultRunMemoryMB)
	set(&in.TmpMB, defaultRunTmpMB)
	set(&in.TimeoutMS, defaultRunTimeout)
	var p problems
	p.between("memory_mb", in.MemoryMB, 128, 10_240)
	p.between("tmp_mb", in.TmpMB, 512, 10_240)
	p.between("timeout_ms", in.TimeoutMS, 1, maxRunTimeout)
	if in.Handler != "" {
		p.length("handler", in.Handler, 0, 128)
		p.pattern("handler", in.Handler, handlerRE, handlerPattern)
	}
	var environment map[string]string
	if in.Environment != nil {
		in.Environment.check(&p)
		environment = in.Environment.values
	}
	if err := p.err(); err != nil {
		return nil, err
	}
	if in.Environment != nil {
		if err := in.Environment.checkContent(); err != nil {
			return nil, err
		}
	}
	if err := q.server.checkRuntime(q.r.Context(), in.Runtime); err != nil {
		return nil, err
	}
	packed, err := in.code()
	if err != nil {
		return nil, err
	}
	if n := len(packed) + len(in.Payload); n > thermocline.MaxProgram {
		return nil, thermocline.Errorf(thermocline.KindRequestTooLarge, "The code and the payload have %d bytes together, more than %d: deploy it as a function", n, thermocline.MaxProgram)
	}
	return &thermocline.Program{
		Runtime: in.Runtime, Handler: in.Handler, Region: q.region.name,
		MemoryMB: in.MemoryMB, TmpMB: in.TmpMB, Timeout: time.Duration(in.TimeoutMS) * time.Millisecond,
		Environment: environment, Code: packed,
	}, nil
}

// code returns the request's code as a zip.
func (in *runRequest) code() ([]byte, error) {
	packed := in.Zip
	switch {
	case in.Source != nil && in.Zip != nil, in.Source == nil && in.Zip == nil:
		return nil, invalid("Give the code as source or as zip, one of them.")
	case in.Source != nil:
		files, err := in.files()
		if err != nil {
			return nil, err
		}
		if packed, err = packSource(files, *in.Source); err != nil {
			return nil, err
		}
	}
	if in.Source != nil {
		return packed, nil // packed here
	}
	return packed, code.CheckProgram(packed)
}

// files names the files that hold the source. Without a handler a program is
// found by the name main; a Node.js source of unknown kind is there as both.
func (in *runRequest) files() ([]string, error) {
	name := in.Name
	if name != "" && (name != path.Base(name) || name == "." || name == ".." || len(name) > 255 || strings.ContainsRune(name, 0)) {
		return nil, invalid("name must be the name of a file, without a directory, not %q", name)
	}
	provided := strings.HasPrefix(in.Runtime, "provided")
	switch extension := path.Ext(name); {
	case provided:
		return []string{"bootstrap"}, nil
	case in.Handler != "" && name == "":
		return nil, invalid("A handler names a file: give the source's name too.")
	case in.Handler != "":
		return []string{name}, nil
	case strings.HasPrefix(in.Runtime, "python"):
		return []string{"main.py"}, nil
	case extension == ".mjs" || extension == ".cjs":
		return []string{"main" + extension}, nil
	}
	return []string{"main.mjs", "main.cjs"}, nil
}

// packSource makes a zip, stored: it does not travel far.
func packSource(files []string, source string) ([]byte, error) {
	if len(source) > thermocline.MaxProgram {
		return nil, thermocline.Errorf(thermocline.KindTooLarge, "The source has %d bytes, more than %d", len(source), thermocline.MaxProgram)
	}
	method := zip.Store
	if len(source) > 64<<10 {
		method = zip.Deflate
	}
	var b bytes.Buffer
	w := zip.NewWriter(&b)
	for _, name := range files {
		header := &zip.FileHeader{Name: name, Method: method}
		header.SetMode(0o755)
		f, err := w.CreateHeader(header)
		if err == nil {
			_, err = f.Write([]byte(source))
		}
		if err != nil {
			return nil, err
		}
	}
	if err := w.Close(); err != nil {
		return nil, err
	}
	return b.Bytes(), nil
}

func runAnswerOf(r *thermocline.Result, total time.Duration) runAnswer {
	p := r.Report
	a := runAnswer{
		RequestID: r.RequestID, Result: json.RawMessage("null"),
		Output: strings.ToValidUTF8(string(r.Output), "\ufffd"), OutputDropped: r.OutputDropped,
		Timings: runTimings{
			Start: p.Start, Queue: milliseconds(max(0, total-p.Setup-p.Init-p.Duration)),
			Setup: milliseconds(p.Setup), Init: milliseconds(p.Init), Run: milliseconds(p.Duration), Total: milliseconds(total),
		},
		MemoryMB: p.MemoryMB, MaxMemoryMB: p.MaxMemoryMB, Manager: p.Manager, Sandbox: p.Sandbox,
	}
	switch {
	case r.FunctionError != "":
		a.Error = runErrorOf(r)
	case len(r.Payload) == 0:
	case json.Valid(r.Payload):
		a.Result = r.Payload
	case utf8.Valid(r.Payload):
		a.Result, _ = json.Marshal(string(r.Payload)) // a string always encodes
	default:
		a.ResultBase64 = r.Payload
	}
	return a
}

// runErrorOf reads the error as the runtimes send it.
func runErrorOf(r *thermocline.Result) *runError {
	var body struct {
		ErrorType    string   `json:"errorType"`
		ErrorMessage string   `json:"errorMessage"`
		Trace        []string `json:"trace"`
		StackTrace   []string `json:"stackTrace"`
	}
	if json.Unmarshal(r.Payload, &body) != nil {
		body.ErrorMessage = strings.ToValidUTF8(string(r.Payload), "\ufffd") // a runtime of the program's own
	}
	e := &runError{Type: body.ErrorType, Message: body.ErrorMessage, Trace: body.Trace, Status: r.Report.Status}
	if len(e.Trace) == 0 {
		e.Trace = body.StackTrace
	}
	return e
}

// milliseconds are rounded to microseconds.
func milliseconds(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }
