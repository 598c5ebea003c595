package runtimeapi

import (
	"errors"
	"net/http"
	"strconv"
	"strings"
)

const (
	invocationPath = "/2018-06-01/runtime/invocation/"
	nextPath       = invocationPath + "next"
	initErrorPath  = "/2018-06-01/runtime/init/error"
	bindingPath    = "/thermocline/v1/binding"
)

// handler routes by hand: the paths are few, and a ServeMux would answer
// unclean ones with redirects.
type handler struct{ s *Server }

func (h *handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	path := r.URL.Path
	switch path {
	case nextPath:
		if allow(w, r, http.MethodGet) {
			h.next(w, r)
		}
		return
	case initErrorPath:
		if allow(w, r, http.MethodPost) {
			h.initError(w, r)
		}
		return
	case bindingPath:
		if allow(w, r, http.MethodGet) {
			h.binding(w, r)
		}
		return
	}
	rest, ok := strings.CutPrefix(path, invocationPath)
	id, action, ok2 := strings.Cut(rest, "/")
	if !ok || !ok2 || (action != "response" && action != "error") {
		refuse(w, &notFound)
		return
	}
	if allow(w, r, http.MethodPost) {
		h.answer(w, r, id, action == "error")
	}
}

// next is the long poll for work.
func (h *handler) next(w http.ResponseWriter, r *http.Request) {
	c, wait := h.s.park(nil)
	if wait != nil {
		select {
		case c = <-wait.work:
		case <-r.Context().Done():
			if c = h.s.unpark(wait); c != nil {
				h.s.takeBack(c)
			}
			return
		}
	}
	if c == nil {
		refuse(w, &invalidTransition)
		return
	}
	if err := writeInvocation(w, &c.inv); err != nil {
		h.s.takeBack(c)
	}
}

func writeInvocation(w http.ResponseWriter, inv *Invocation) error {
	hd := w.Header()
	hd["Content-Type"] = jsonType
	hd["Content-Length"] = []string{strconv.Itoa(len(inv.Payload))}
	hd["Date"] = nil // saves formatting it
	hd["Lambda-Runtime-Aws-Request-Id"] = []string{inv.RequestID}
	hd["Lambda-Runtime-Deadline-Ms"] = []string{strconv.FormatInt(inv.Deadline.UnixMilli(), 10)}
	hd["Lambda-Runtime-Invoked-Function-Arn"] = []string{inv.ARN}
	if inv.TraceID != "" {
		hd["Lambda-Runtime-Trace-Id"] = []string{inv.TraceID}
	}
	if inv.ClientContext != "" {
		hd["Lambda-Runtime-Client-Context"] = []string{asciiJSON(inv.ClientContext)}
	}
	if _, err := w.Write(inv.Payload); err != nil {
		return err
	}
	return flush(w)
}

// flush sends what is buffered now, so that its error is known here.
func flush(w http.ResponseWriter) error {
	if f, ok := w.(interface{ FlushError() error }); ok {
		return f.FlushError()
	}
	return nil
}

// answer takes a response or an error of an invocation.
func (h *handler) answer(w http.ResponseWriter, r *http.Request, id string, isError bool) {
	c, no := h.s.claim(id)
	if c == nil {
		refuse(w, no)
		return
	}
	body, err := h.s.readBody(r)
	switch {
	case errors.Is(err, errTooLarge):
		h.s.answer(c, h.s.tooLarge())
		drain(r.Body)
		refuse(w, h.s.entityTooLarge())
	case err != nil:
		h.s.release(c)
		refuse(w, &badBody)
	case isError:
		h.s.answer(c, errorResponse(r.Header, body))
		accept(w)
	default:
		h.s.answer(c, resultResponse(r, body))
		accept(w)
	}
}

func (h *handler) initError(w http.ResponseWriter, r *http.Request) {
	claim := h.s.claimInit()
	if claim == nil {
		refuse(w, &invalidTransition)
		return
	}
	defer h.s.endInit(claim)
	body, err := h.s.readBody(r)
	switch {
	case errors.Is(err, errTooLarge):
		drain(r.Body)
		refuse(w, h.s.entityTooLarge())
		return
	case err != nil:
		refuse(w, &badBody)
		return
	}
	if !h.s.failInit(errorResponse(r.Header, body)) {
		refuse(w, &invalidTransition)
		return
	}
	accept(w)
}

// binding is the long poll of a bootstrap without a function.
func (h *handler) binding(w http.ResponseWriter, r *http.Request) {
	bound, epoch, ok := h.s.poll()
	if !ok {
		refuse(w, &invalidTransition)
		return
	}
	select {
	case <-bound:
	case <-epoch:
		refuse(w, &invalidTransition)
		return
	case <-r.Context().Done():
		return
	}
	data := h.s.message()
	hd := w.Header()
	hd["Content-Type"] = jsonType
	hd["Content-Length"] = []string{strconv.Itoa(len(data))}
	hd["Date"] = nil
	_, _ = w.Write(data) // the connection's end is the bootstrap's end
}
