package sigv4

import "net/http"

// The codes that AWS answers to requests whose signature is not accepted.
const (
	CodeInvalidSignature    = "InvalidSignatureException"
	CodeUnrecognizedClient  = "UnrecognizedClientException"
	CodeMissingToken        = "MissingAuthenticationTokenException"
	CodeIncompleteSignature = "IncompleteSignatureException"
)

// Error is a signature that was not accepted, as AWS says it.
type Error struct {
	Code    string
	Message string
}

func (e *Error) Error() string { return e.Code + ": " + e.Message }

// Status is the HTTP status that goes with the error.
func (e *Error) Status() int { return http.StatusForbidden }

func errInvalid(message string) *Error { return &Error{CodeInvalidSignature, message} }

func errMismatch() *Error {
	return errInvalid("The request signature we calculated does not match the signature you provided. " +
		"Check your AWS Secret Access Key and signing method. Consult the service documentation for details.")
}

func errUnrecognized() *Error {
	return &Error{CodeUnrecognizedClient, "The security token included in the request is invalid."}
}

func errMissing() *Error { return &Error{CodeMissingToken, "Missing Authentication Token"} }

func errIncomplete(message string) *Error { return &Error{CodeIncompleteSignature, message} }
