package client

import (
	"net/http"

	"thermocline"
)

// errorOf turns a status, a code and a message of the wire into the one error
// type. The code decides; the status does where the code says nothing.
func errorOf(status int, code, message, reason string) *thermocline.Error {
	if message == "" {
		message = http.StatusText(status)
	}
	return &thermocline.Error{Kind: kindOf(status, code), Message: message, Reason: reason}
}

func kindOf(status int, code string) thermocline.Kind {
	switch code {
	case "InvalidParameterValueException":
		return thermocline.KindInvalidParameter
	case "ValidationException":
		return thermocline.KindValidation
	case "ResourceNotFoundException":
		return thermocline.KindNotFound
	case "ResourceConflictException":
		return thermocline.KindConflict
	case "TooManyRequestsException":
		return thermocline.KindThrottled
	}
	switch {
	case status == http.StatusNotFound:
		return thermocline.KindNotFound
	case status == http.StatusForbidden || status == http.StatusUnauthorized:
		return thermocline.KindAccessDenied
	case status == http.StatusTooManyRequests:
		return thermocline.KindThrottled
	case status == http.StatusServiceUnavailable:
		return thermocline.KindUnavailable
	case status/100 == 4:
		return thermocline.KindInvalidParameter
	}
	return thermocline.KindInternal
}
