package frontend

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"

	"thermocline"
	"thermocline/frontend/sigv4"
)

// errorShape says how AWS shows a kind of error.
type errorShape struct {
	status int
	code   string
	form   errorForm
}

type errorForm int

const (
	formMessage        errorForm = iota // {"message":…}
	formUser                            // {"Type":"User","message":…}
	formCapital                         // {"Type":"User","Message":…}
	formService                         // {"Type":"Service","Message":…}
	formCapitalMessage                  // {"Message":…}
)

// errorShapes maps the platform's kinds of errors to AWS's. Nothing else does.
var errorShapes = map[thermocline.Kind]errorShape{
	thermocline.KindInternal:         {500, "ServiceException", formService},
	thermocline.KindInvalidParameter: {400, "InvalidParameterValueException", formUser},
	thermocline.KindValidation:       {400, "ValidationException", formMessage},
	thermocline.KindInvalidContent:   {400, "InvalidRequestContentException", formUser},
	thermocline.KindNotFound:         {404, "ResourceNotFoundException", formCapital},
	thermocline.KindConflict:         {409, "ResourceConflictException", formUser},
	thermocline.KindPrecondition:     {412, "PreconditionFailedException", formUser},
	thermocline.KindTooLarge:         {413, "RequestEntityTooLargeException", formMessage},
	thermocline.KindRequestTooLarge:  {413, "RequestTooLargeException", formUser},
	thermocline.KindUnsupportedMedia: {415, "UnsupportedMediaTypeException", formUser},
	thermocline.KindThrottled:        {429, "TooManyRequestsException", formUser},
	thermocline.KindCodeStorage:      {400, "CodeStorageExceededException", formUser},
	thermocline.KindInvalidZip:       {502, "InvalidZipFileException", formCapital},
	thermocline.KindInvalidRuntime:   {502, "InvalidRuntimeException", formCapital},
	thermocline.KindAccessDenied:     {403, "AccessDeniedException", formCapitalMessage},
	thermocline.KindUnavailable:      {503, "ServiceUnavailableException", formService},
	thermocline.KindExpired:          {503, "ServiceUnavailableException", formService},
	thermocline.KindPossiblyStarted:  {500, "ServiceException", formService},
	thermocline.KindRefused:          {429, "TooManyRequestsException", formUser},
	thermocline.KindPolicyTooLong:    {400, "PolicyLengthExceededException", formUser},
}

// wireError is an error as it is sent.
type wireError struct {
	errorShape
	message    *string // null where AWS says nothing
	reason     string
	retryAfter string // seconds
}

// MarshalJSON writes the members that the form has, and no others.
func (e wireError) MarshalJSON() ([]byte, error) {
	var body struct {
		Type    string  `json:"Type,omitempty"`
		Reason  string  `json:"Reason,omitempty"`
		Lower   *string `json:"message,omitempty"`
		Capital any     `json:"Message,omitempty"`
	}
	body.Reason = e.reason
	switch e.form {
	case formUser, formCapital:
		body.Type = "User"
	case formService:
		body.Type = "Service"
	}
	switch {
	case e.message == nil:
		body.Capital = json.RawMessage("null")
	case e.form == formMessage || e.form == formUser:
		body.Lower = e.message
	default:
		body.Capital = *e.message
	}
	return json.Marshal(body)
}

const internalMessage = "An error occurred and the request cannot be processed."

// toWire is what the caller gets to see of err.
func toWire(err error) wireError {
	var signature *sigv4.Error
	if errors.As(err, &signature) {
		return wireError{errorShape: errorShape{signature.Status(), signature.Code, formMessage}, message: &signature.Message}
	}
	var special *apiError
	if errors.As(err, &special) {
		return wireError{errorShape: special.errorShape, message: &special.message}
	}
	var e *thermocline.Error
	if !errors.As(err, &e) {
		if errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled) {
			e = thermocline.WithCause(thermocline.KindUnavailable, err, "The request was given up. Try again.")
		} else {
			e = thermocline.WithCause(thermocline.KindInternal, err, internalMessage)
		}
	}
	shape, ok := errorShapes[e.Kind]
	if !ok {
		shape = errorShapes[thermocline.KindInternal]
	}
	w := wireError{errorShape: shape, message: &e.Message, reason: e.Reason}
	switch {
	case e.Kind == thermocline.KindAccessDenied && e.Message == "":
		w.message = nil
	case shape.status == http.StatusTooManyRequests:
		w.retryAfter = "1"
		if w.reason == "" {
			w.reason = thermocline.ReasonConcurrent
		}
	}
	return w
}

// apiError is an error of the Lambda API that no kind of the platform stands
// for, because nothing but this API knows it.
type apiError struct {
	errorShape
	message string
}

func (e *apiError) Error() string { return e.code + ": " + e.message }

func errUnknownOperation(method, path string) error {
	return &apiError{
		errorShape{http.StatusNotFound, "UnknownOperationException", formMessage},
		"Thermocline does not have the operation " + method + " " + path + ".",
	}
}

func notFound(arn string) error {
	return thermocline.Errorf(thermocline.KindNotFound, "Function not found: %s", arn)
}

func invalid(format string, args ...any) error {
	return thermocline.Errorf(thermocline.KindInvalidParameter, format, args...)
}

func isKind(err error, k thermocline.Kind) bool {
	return err != nil && thermocline.KindOf(err) == k
}
