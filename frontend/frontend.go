package frontend

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"

	"thermocline"
	"thermocline/frontend/sigv4"
	"thermocline/store"
)

// Server answers the Lambda API and Thermocline's own. It is an http.Handler
// and safe for concurrent use. Run finishes what its answers promise.
type Server struct {
	opts        Options
	verifier    *sigv4.Verifier
	home        region // of the configuration
	concurrency *Concurrency
	bodies      budget
	pending     chan transition
}

// New returns a Server. It starts nothing.
func New(o Options) *Server {
	o = o.withDefaults()
	o.History = pacedHistory{o.History, o.Pace}
	if len(o.LocationKey) == 0 {
		o.LocationKey = make([]byte, 32)
		rand.Read(o.LocationKey) // never fails
	}
	s := &Server{
		opts:        o,
		home:        newRegion(o.Region),
		concurrency: o.Concurrency,
		bodies:      budget{limit: o.Limits.BodyBytes},
		pending:     make(chan transition, maxPending),
	}
	s.verifier = sigv4.New(sigv4.Options{Keys: storedKeys{o.Store}, Service: "lambda", Now: o.Now})
	return s
}

// storedKeys lets the verifier look keys up in the store.
type storedKeys struct{ accounts store.Accounts }

func (k storedKeys) SigningKey(ctx context.Context, id string) (sigv4.Key, bool, error) {
	key, err := k.accounts.Key(ctx, id)
	switch {
	case isKind(err, thermocline.KindNotFound):
		return sigv4.Key{}, false, nil
	case err != nil:
		return sigv4.Key{}, false, err
	}
	return sigv4.Key{Secret: key.Secret, Account: key.Account, Scope: string(key.Scope)}, !key.Revoked, nil
}

// request is one request on its way through the frontend.
type request struct {
	server    *Server
	w         http.ResponseWriter
	r         *http.Request
	id        string // x-amzn-RequestId; of an invocation its request id
	operation *operation
	path      [maxParameters]string // the path's parameters, decoded
	query     url.Values
	identity  sigv4.Identity
	region    region // that the caller signed for
	body      []byte
	now       time.Time
}

// ServeHTTP answers one request.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	q := &request{server: s, w: w, r: r, id: uuid.NewString(), now: s.opts.Now()}
	w.Header()["X-Amzn-Requestid"] = []string{q.id}
	if s.servePublic(w, r) {
		return
	}
	if err := s.serve(q); err != nil {
		q.fail(err)
	}
}

// serve finds the operation out, verifies who asks for it, and calls it.
func (s *Server) serve(q *request) error {
	signed, err := s.verifier.Begin(q.r)
	if err != nil {
		return err
	}
	op := q.match()
	release, err := q.readBody(op)
	defer release()
	if err != nil {
		return err
	}
	if err := signed.Verify(q.body); err != nil {
		return err
	}
	q.identity = signed.Identity()
	if q.region = s.home; q.identity.Region != s.home.name {
		q.region = newRegion(q.identity.Region)
	}
	if op == nil {
		return errUnknownOperation(q.r.Method, q.r.URL.Path)
	}
	q.operation = op
	if q.identity.Scope != string(store.ScopeAdmin) && !op.forInvokers {
		return q.denied("identity-based")
	}
	if q.r.URL.RawQuery != "" {
		q.query = q.r.URL.Query()
	}
	return op.serve(q)
}

// caller is the caller as AWS's messages name one.
func (q *request) caller() string {
	return "arn:" + q.region.partition + ":iam::" + q.identity.Account + ":user/" + q.identity.KeyID
}

// denied says in AWS's words that no policy of a kind allows the operation. The
// scope of a key stands for its identity-based policy.
func (q *request) denied(policy string) error {
	action := "lambda:" + q.operation.name
	if strings.HasPrefix(q.operation.pattern, ownPrefix) {
		action = "thermocline:" + q.operation.name
	}
	resource := "*"
	if r, ok := parseRef(q.path[0], nameRE); ok && strings.HasPrefix(action, "lambda:") {
		owner := r.account
		if owner == "" {
			owner = q.identity.Account
		}
		resource = q.region.arn(owner, r.name, r.qualifier)
	}
	return thermocline.Errorf(thermocline.KindAccessDenied,
		"User: %s is not authorized to perform: %s on resource: %s because no %s policy allows the %s action",
		q.caller(), action, resource, policy, action)
}

// decode parses the body, if there is one, into v.
func (q *request) decode(v any) error {
	if len(q.body) == 0 {
		return nil
	}
	if err := json.Unmarshal(q.body, v); err != nil {
		return thermocline.Errorf(thermocline.KindInvalidContent, "Could not parse request body into json: %s", jsonProblem(q.body, err))
	}
	return nil
}

// reply sends a JSON answer.
func (q *request) reply(status int, v any) error {
	body, err := json.Marshal(v)
	if err != nil {
		return err
	}
	h := q.w.Header()
	h.Set("Content-Type", "application/json")
	h.Set("Content-Length", strconv.Itoa(len(body)))
	q.w.WriteHeader(status)
	q.send(body)
	return nil
}

// send writes a body. A client that does not read a large one is given up
// after a while; one that is gone is nobody to tell.
func (q *request) send(body []byte) {
	if len(body) <= smallBody {
		_, _ = q.w.Write(body)
		return
	}
	control := http.NewResponseController(q.w)
	_ = control.SetWriteDeadline(time.Now().Add(q.server.opts.Limits.BodyTimeout)) // not every writer can
	_, _ = q.w.Write(body)
	_ = control.Flush()
	_ = control.SetWriteDeadline(time.Time{}) // the connection goes on to be used
}

func (q *request) replyEmpty(status int) error {
	q.w.WriteHeader(status)
	return nil
}

// fail sends an error and logs it when it is the platform's.
func (q *request) fail(err error) {
	w := toWire(err)
	if w.status >= 500 {
		attributes := []any{slog.String("request_id", q.id), slog.String("error", err.Error())}
		if q.operation != nil {
			attributes = append(attributes, slog.String("operation", q.operation.name), slog.String("function", q.path[0]))
		}
		if !errors.Is(err, context.Canceled) {
			q.server.opts.Logger.Error("request failed", attributes...)
		}
	}
	h := q.w.Header()
	h.Set("X-Amzn-Errortype", w.code)
	if w.retryAfter != "" {
		h.Set("Retry-After", w.retryAfter)
	}
	_ = q.reply(w.status, w)
}
