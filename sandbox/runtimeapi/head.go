package runtimeapi

import (
	"bytes"
	"encoding/json"
	"net/http"
	"strconv"
	"strings"
)

// requestKind is one of the calls that a conn answers itself.
type requestKind int

const (
	callNext requestKind = iota
	callBinding
	callResponse
	callError
)

// head is the head of such a call.
type head struct {
	call    requestKind
	id      string // of the invocation
	length  int64  // of the body, unless it is chunked
	chunked bool

	contentType, mode, errorType string

	// The trailers of a streaming runtime that failed half-way.
	trailerType, trailerBody string
}

// headEnd returns how long the head at the beginning of data is, with its empty
// line; 0 if it is not complete.
func headEnd(data []byte) int {
	const end = "\r\n\r\n"
	if i := bytes.Index(data, []byte(end)); i >= 0 {
		return i + len(end)
	}
	return 0
}

// parseHead reads a head. It knows what runtimes send and is false for all
// else, whether it is wrong or only rare: net/http decides on that.
func parseHead(data []byte) (q head, ok bool) {
	line, rest := cutLine(data)
	if !q.parseLine(line) {
		return q, false
	}
	var length, encoding, host bool
	for {
		line, rest = cutLine(rest)
		if len(line) == 0 {
			break
		}
		name, value, ok := cutField(line)
		if !ok {
			return q, false
		}
		switch {
		case is(name, "host"):
			if host || !plainHost(value) {
				return q, false
			}
			host = true
		case is(name, "content-length"):
			n, ok := digits(value)
			if length || !ok {
				return q, false
			}
			length, q.length = true, n
		case is(name, "transfer-encoding"):
			if encoding || string(value) != "chunked" {
				return q, false
			}
			encoding, q.chunked = true, true
		case is(name, "connection"):
			if !is(value, "keep-alive") {
				return q, false
			}
		case is(name, "expect"), is(name, "upgrade"), is(name, "te"), is(name, "proxy-connection"):
			return q, false
		case is(name, "content-type"):
			first(&q.contentType, value)
		case is(name, "lambda-runtime-function-response-mode"):
			first(&q.mode, value)
		case is(name, lowerErrorType):
			first(&q.errorType, value)
		}
	}
	body := length && q.length > 0 || encoding
	if !host || length && encoding || body && q.call <= callBinding {
		return q, false
	}
	// Without either a body is empty.
	return q, true
}

const lowerErrorType = "lambda-runtime-function-error-type"

// parseLine reads the request line.
func (q *head) parseLine(line []byte) bool {
	const get, post, version = "GET ", "POST ", " HTTP/1.1"
	path, ok := bytes.CutSuffix(line, []byte(version))
	if !ok {
		return false
	}
	if path, ok := bytes.CutPrefix(path, []byte(get)); ok {
		switch string(path) {
		case nextPath:
			q.call = callNext
		case bindingPath:
			q.call = callBinding
		default:
			return false
		}
		return true
	}
	path, ok = bytes.CutPrefix(path, []byte(post))
	rest, ok2 := bytes.CutPrefix(path, []byte(invocationPath))
	id, action, ok3 := bytes.Cut(rest, []byte("/"))
	if !ok || !ok2 || !ok3 {
		return false
	}
	switch string(action) {
	case "response":
		q.call = callResponse
	case "error":
		q.call = callError
	default:
		return false
	}
	q.id = string(id)
	return validID(q.id)
}

// trailer takes a line behind the last chunk.
func (q *head) trailer(line []byte) {
	name, value, ok := cutField(bytes.TrimRight(line, "\r\n"))
	switch {
	case !ok:
	case is(name, lowerErrorType):
		first(&q.trailerType, value)
	case is(name, "lambda-runtime-function-error-body"):
		first(&q.trailerBody, value)
	}
}

// cutLine cuts the first line off. A bare LF is part of it.
func cutLine(data []byte) (line, rest []byte) {
	line, rest, _ = bytes.Cut(data, []byte("\r\n"))
	return line, rest
}

// cutField splits a field of a header; it is false for whatever is not plainly
// one.
func cutField(line []byte) (name, value []byte, ok bool) {
	name, value, ok = bytes.Cut(line, []byte{':'})
	if !ok || len(name) == 0 {
		return nil, nil, false
	}
	for _, c := range name {
		if (c|0x20 < 'a' || c|0x20 > 'z') && (c < '0' || c > '9') && c != '-' {
			return nil, nil, false
		}
	}
	for _, c := range value {
		if c < ' ' && c != '\t' || c >= 0x7f {
			return nil, nil, false
		}
	}
	return name, bytes.Trim(value, " \t"), true
}

// is reports whether b is the lower-case s in whatever case.
func is(b []byte, s string) bool { return len(b) == len(s) && strings.EqualFold(string(b), s) }

// first keeps the first of a field's values, as http.Header.Get does.
func first(s *string, value []byte) {
	if *s == "" {
		*s = string(value)
	}
}

func digits(b []byte) (n int64, ok bool) {
	if len(b) == 0 || len(b) > 10 {
		return 0, false
	}
	for _, c := range b {
		if c < '0' || c > '9' {
			return 0, false
		}
		n = 10*n + int64(c-'0')
	}
	return n, true
}

func plainHost(b []byte) bool {
	for _, c := range b {
		if (c|0x20 < 'a' || c|0x20 > 'z') && (c < '0' || c > '9') && c != '-' && c != '.' && c != ':' {
			return false
		}
	}
	return len(b) > 0
}

// appendInvocation appends an answer of next without its body.
func appendInvocation(b []byte, inv *Invocation) []byte {
	b = append(b, "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: "...)
	b = strconv.AppendInt(b, int64(len(inv.Payload)), 10)
	b = append(b, "\r\nLambda-Runtime-Aws-Request-Id: "...)
	b = append(b, inv.RequestID...)
	b = append(b, "\r\nLambda-Runtime-Deadline-Ms: "...)
	b = strconv.AppendInt(b, inv.Deadline.UnixMilli(), 10)
	b = append(b, "\r\nLambda-Runtime-Invoked-Function-Arn: "...)
	b = appendValue(b, inv.ARN)
	if inv.TraceID != "" {
		b = append(b, "\r\nLambda-Runtime-Trace-Id: "...)
		b = appendValue(b, inv.TraceID)
	}
	if inv.ClientContext != "" {
		b = append(b, "\r\nLambda-Runtime-Client-Context: "...)
		b = appendValue(b, asciiJSON(inv.ClientContext))
	}
	return append(b, "\r\n\r\n"...)
}

// appendValue appends what came from a caller, on one line whatever it is.
func appendValue(b []byte, s string) []byte {
	for i := range len(s) {
		c := s[i]
		if c == '\r' || c == '\n' {
			c = ' '
		}
		b = append(b, c)
	}
	return b
}

func appendMessage(b, data []byte) []byte {
	b = append(b, "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: "...)
	b = strconv.AppendInt(b, int64(len(data)), 10)
	b = append(b, "\r\n\r\n"...)
	return append(b, data...)
}

// accepted is the answer to an answer.
var accepted = []byte("HTTP/1.1 202 Accepted\r\nContent-Type: application/json\r\nContent-Length: " +
	statusOKLength[0] + "\r\n\r\n" + statusOK)

func appendRefusal(b []byte, no *refusal) []byte {
	data, err := json.Marshal(no)
	if err != nil { // two strings always encode
		data = nil
	}
	b = append(b, "HTTP/1.1 "...)
	b = strconv.AppendInt(b, int64(no.status), 10)
	b = append(b, ' ')
	b = append(b, http.StatusText(no.status)...)
	b = append(b, "\r\nContent-Type: application/json\r\nContent-Length: "...)
	b = strconv.AppendInt(b, int64(len(data)), 10)
	b = append(b, "\r\n\r\n"...)
	return append(b, data...)
}

// resultOf makes the response from a response call. A streaming runtime that
// fails half-way says so in trailers.
func resultOf(q *head, body []byte) Response {
	if q.trailerType != "" {
		return trailerError(q.trailerType, q.trailerBody)
	}
	return Response{Payload: body, ContentType: q.contentType, Streaming: strings.EqualFold(q.mode, "streaming")}
}
