package runtimeapi

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strings"
)

const (
	errorTypeHeader = "Lambda-Runtime-Function-Error-Type"
	errorBodyHeader = "Lambda-Runtime-Function-Error-Body"
	modeHeader      = "Lambda-Runtime-Function-Response-Mode"
	unknownError    = "Runtime.Unknown"
	firstBuffer     = 4 << 10
)

var errTooLarge = errors.New("body too large")

// readBody reads r's body into a buffer of its own, without another copy when
// its length was declared. It returns errTooLarge as soon as that is certain.
func (s *Server) readBody(r *http.Request) ([]byte, error) {
	limit := s.maxResult
	if r.ContentLength > int64(limit) {
		return nil, errTooLarge
	}
	if r.ContentLength >= 0 {
		buf := make([]byte, r.ContentLength)
		_, err := io.ReadFull(r.Body, buf)
		return buf, err
	}
	return readAll(r.Body, limit)
}

// readAll reads a body whose length is not known.
func readAll(body io.Reader, limit int) ([]byte, error) {
	buf := make([]byte, 0, firstBuffer)
	for {
		n, err := body.Read(buf[len(buf):cap(buf)])
		buf = buf[:len(buf)+n]
		switch {
		case len(buf) > limit:
			return nil, errTooLarge
		case err == io.EOF:
			return buf, nil
		case err != nil:
			return nil, err
		}
		if len(buf) == cap(buf) {
			grown := make([]byte, len(buf), min(2*cap(buf), limit+1))
			copy(grown, buf)
			buf = grown
		}
	}
}

// drain reads the rest of a refused body, up to a limit: most clients look at
// the answer only after they have sent everything.
func drain(body io.Reader) {
	_, _ = io.CopyN(io.Discard, body, drainLimit) // an error means that nobody listens
}

// resultResponse is resultOf for a request of net/http.
func resultResponse(r *http.Request, body []byte) Response {
	return resultOf(&head{
		contentType: r.Header.Get("Content-Type"), mode: r.Header.Get(modeHeader),
		trailerType: r.Trailer.Get(errorTypeHeader), trailerBody: r.Trailer.Get(errorBodyHeader),
	}, body)
}

func trailerError(kind, encoded string) Response {
	kind = sanitiseErrorType(kind)
	body, err := base64.StdEncoding.DecodeString(encoded)
	if err != nil {
		body = nil
	}
	return Response{ErrorType: kind, ErrorPayload: errorPayload(kind, body)}
}

// errorResponse makes the response from the body of an error call.
func errorResponse(h http.Header, body []byte) Response {
	return errorOf(h.Get(errorTypeHeader), body)
}

func errorOf(kind string, body []byte) Response {
	kind = sanitiseErrorType(kind)
	return Response{ErrorType: kind, ErrorPayload: errorPayload(kind, body)}
}

// errorPayload returns body if it is JSON. Callers are promised JSON, so
// anything else becomes the message of an error.
func errorPayload(kind string, body []byte) []byte {
	if json.Valid(body) {
		return body
	}
	return encodeError(kind, strings.ToValidUTF8(string(body), "\uFFFD"))
}

// sanitiseErrorType returns kind if it matches
// ^(Runtime|Function)\.[A-Z][a-zA-Z]+$ and "Runtime.Unknown" otherwise.
func sanitiseErrorType(kind string) string {
	name, ok := strings.CutPrefix(kind, "Runtime.")
	if !ok {
		name, ok = strings.CutPrefix(kind, "Function.")
	}
	if !ok || len(name) < 2 || name[0] < 'A' || name[0] > 'Z' {
		return unknownError
	}
	for i := range len(name) {
		if c := name[i] | 0x20; c < 'a' || c > 'z' {
			return unknownError
		}
	}
	return kind
}

// validID reports whether id can stand in a path and a header.
func validID(id string) bool {
	for i := range len(id) {
		switch c := id[i]; {
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9', c == '-':
		default:
			return false
		}
	}
	return id != "" && id != "next" && len(id) <= 128
}

// asciiJSON returns the JSON text s in ASCII and on one line: headers carry
// nothing else safely, and runtimes read them as Latin-1.
func asciiJSON(s string) string {
	plain := true
	for i := range len(s) {
		if s[i] < 0x20 || s[i] >= 0x7f {
			plain = false
			break
		}
	}
	if plain {
		return s
	}
	var b strings.Builder
	for _, r := range s {
		switch {
		case r < 0x20: // only ever white space between tokens
			b.WriteByte(' ')
		case r < 0x7f:
			b.WriteRune(r)
		case r > 0xffff:
			r -= 0x10000
			writeEscape(&b, 0xd800+r>>10)
			writeEscape(&b, 0xdc00+r&0x3ff)
		default: // utf8.RuneError too
			writeEscape(&b, r)
		}
	}
	return b.String()
}

func writeEscape(b *strings.Builder, r rune) {
	const hex = "0123456789abcdef"
	b.WriteString(`\u`)
	for shift := 12; shift >= 0; shift -= 4 {
		b.WriteByte(hex[r>>shift&15])
	}
}
