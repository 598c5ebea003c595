package thermocline

import (
	"errors"
	"fmt"
)

// Kind classifies an error of the platform. The frontend maps kinds to AWS
// error codes in one place; nothing else does.
type Kind int

// The kinds of errors.
const (
	KindInternal         Kind = iota // 500 ServiceException
	KindInvalidParameter             // 400 InvalidParameterValueException
	KindValidation                   // 400 ValidationException
	KindInvalidContent               // 400 InvalidRequestContentException
	KindNotFound                     // 404 ResourceNotFoundException
	KindConflict                     // 409 ResourceConflictException
	KindPrecondition                 // 412 PreconditionFailedException
	KindTooLarge                     // 413 RequestEntityTooLargeException
	KindRequestTooLarge              // 413 RequestTooLargeException
	KindUnsupportedMedia             // 415 UnsupportedMediaTypeException
	KindThrottled                    // 429 TooManyRequestsException, with a Reason
	KindCodeStorage                  // 400 CodeStorageExceededException
	KindInvalidZip                   // 502 InvalidZipFileException
	KindInvalidRuntime               // 502 InvalidRuntimeException
	KindAccessDenied                 // 403 AccessDeniedException
	KindUnavailable                  // 503 ServiceUnavailable: try again
	KindRefused                      // internal: a manager has no room; take the second choice
	KindExpired                      // internal: the start-by time has passed, it was not started
	KindPossiblyStarted              // 500: may have run; the caller decides whether to repeat
	KindPolicyTooLong                // 400 PolicyLengthExceededException
)

// The reasons of KindThrottled.
const (
	ReasonConcurrent         = "ConcurrentInvocationLimitExceeded"
	ReasonReservedConcurrent = "ReservedFunctionConcurrentInvocationLimitExceeded"
	ReasonInvocationRate     = "FunctionInvocationRateLimitExceeded"
	ReasonReservedRate       = "ReservedFunctionInvocationRateLimitExceeded"
	ReasonCallerRate         = "CallerRateLimitExceeded"
)

// Error is the one error type of the platform.
type Error struct {
	Kind    Kind
	Message string // shown to the caller
	Reason  string // KindThrottled only
	Cause   error  // logged, never sent
}

func (e *Error) Error() string {
	if e.Cause != nil {
		return fmt.Sprintf("%s: %v", e.Message, e.Cause)
	}
	return e.Message
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Cause }

// Is reports whether target is an *Error of the same kind without a message,
// so that errors.Is(err, &Error{Kind: k}) asks for the kind.
func (e *Error) Is(target error) bool {
	t, ok := target.(*Error)
	return ok && t.Kind == e.Kind && t.Message == ""
}

// Errorf returns an *Error of the kind with a public message and no cause.
func Errorf(kind Kind, format string, args ...any) *Error {
	return &Error{Kind: kind, Message: fmt.Sprintf(format, args...)}
}

// WithCause returns an *Error whose cause is logged and not shown.
func WithCause(kind Kind, cause error, message string) *Error {
	return &Error{Kind: kind, Message: message, Cause: cause}
}

// KindOf returns the kind of the first *Error in err's chain, KindInternal
// when there is none.
func KindOf(err error) Kind {
	var e *Error
	if errors.As(err, &e) {
		return e.Kind
	}
	return KindInternal
}
