package main

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/aws/smithy-go"

	"thermocline"
	"thermocline/client"
)

// The exit codes.
const (
	exitFailed      = 1 // the function failed, or something else did
	exitUsage       = 2 // wrong arguments
	exitConfig      = 3 // a wrong configuration
	exitUnreachable = 4 // no server answers
	exitNotFound    = 5 // no such function
	exitInterrupted = 130
)

// exitError is an error with an exit code and with what to do next.
type exitError struct {
	code int
	err  error
	hint string
}

func (e *exitError) Error() string { return e.err.Error() }
func (e *exitError) Unwrap() error { return e.err }

// fail returns an error with a code and a hint ("" for none).
func fail(code int, hint, format string, args ...any) error {
	return &exitError{code: code, err: fmt.Errorf(format, args...), hint: hint}
}

// report writes err for people and returns the exit code.
func (e *env) report(err error) int {
	if err == nil {
		return 0
	}
	if errors.Is(err, context.Canceled) && e.ctx.Err() != nil {
		return exitInterrupted
	}
	known := explainError(err)
	fmt.Fprintf(e.stderr, "thermocline: %s\n", strings.TrimRight(known.Error(), "\n"))
	if known.hint != "" {
		fmt.Fprintf(e.stderr, "  → %s\n", known.hint)
	}
	return known.code
}

// explainError finds the exit code and the hint of an error that has none yet.
func explainError(err error) *exitError {
	var known *exitError
	if errors.As(err, &known) {
		return known
	}
	var platform *thermocline.Error
	if errors.As(err, &platform) {
		return byKind(platform.Kind, err)
	}
	var api smithy.APIError
	if errors.As(err, &api) {
		return byCode(api)
	}
	return &exitError{code: exitFailed, err: err}
}

const (
	hintList   = "`thermocline list` shows the functions there are"
	hintKeys   = "the server does not know this key: is it another data directory's? Set the environment anew with `eval \"$(thermocline env --data DIR)\"`"
	hintScope  = "use a key that may: `thermocline keys create` makes one, `thermocline accounts list` shows whose this is"
	hintFull   = "all is busy: try again, or raise the capacity (`thermocline fleets` shows it)"
	hintLogs   = "the server's own log says why"
	hintUpdate = "a change is under way: try again in a moment"
)

func byKind(kind thermocline.Kind, err error) *exitError {
	e := &exitError{code: exitFailed, err: err}
	switch kind {
	case thermocline.KindNotFound:
		e.code, e.hint = exitNotFound, hintList
	case thermocline.KindAccessDenied:
		e.hint = hintKeys
	case thermocline.KindThrottled:
		e.hint = hintFull
	}
	return e
}

func byCode(api smithy.APIError) *exitError {
	e := &exitError{code: exitFailed, err: fmt.Errorf("%s (%s)", api.ErrorMessage(), api.ErrorCode())}
	if api.ErrorMessage() == "" {
		e.err = errors.New(api.ErrorCode())
	}
	switch api.ErrorCode() {
	case "ResourceNotFoundException":
		e.code, e.hint = exitNotFound, hintList
	case "ResourceConflictException":
		e.hint = hintUpdate
	case "TooManyRequestsException":
		e.hint = hintFull
	case "InvalidSignatureException", "UnrecognizedClientException", "IncompleteSignatureException":
		e.hint = hintKeys
	case "AccessDeniedException":
		e.hint = hintScope
	case "ServiceException":
		e.hint = hintLogs
	}
	return e
}

// unreachable is the error of a server that does not answer.
func unreachable(s server, cause error) error {
	hint := "start it with `thermocline serve`"
	if s.data != "" {
		hint = fmt.Sprintf("start it with `thermocline serve --data %s`", quote(s.data))
	}
	return &exitError{code: exitUnreachable, hint: hint,
		err: fmt.Errorf("%w at %s (from %s): %w", client.ErrUnreachable, s.Endpoint, s.origin, root(cause))}
}

// root is the innermost error: the one that says what the network said.
func root(err error) error {
	for {
		next := errors.Unwrap(err)
		if next == nil {
			return err
		}
		err = next
	}
}
