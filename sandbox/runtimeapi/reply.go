package runtimeapi

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
)

// refusal is an answer of the API that is not what the runtime wanted.
type refusal struct {
	status  int
	Message string `json:"errorMessage"`
	Type    string `json:"errorType"`
}

// The refusals, all constant.
var (
	invalidRequestID  = refusal{http.StatusBadRequest, "Invalid request ID", "InvalidRequestID"}
	invalidTransition = refusal{http.StatusForbidden, "State transition is not allowed", "InvalidStateTransition"}
	notFound          = refusal{http.StatusNotFound, "There is no such path in the Runtime API", "NotFound"}
	notAllowed        = refusal{http.StatusMethodNotAllowed, "The path does not take this method", "MethodNotAllowed"}
	badBody           = refusal{http.StatusBadRequest, "The body did not arrive in full", "InvalidRequest"}

	jsonType = []string{"application/json"}
)

const statusOK = "{\"status\":\"OK\"}\n"

var statusOKLength = []string{strconv.Itoa(len(statusOK))}

func (s *Server) entityTooLarge() *refusal {
	return &refusal{http.StatusRequestEntityTooLarge,
		fmt.Sprintf("Exceeded maximum allowed payload size (%d bytes).", s.maxResult), "RequestEntityTooLarge"}
}

// tooLarge is what the caller of the function gets.
func (s *Server) tooLarge() Response {
	const kind = "Function.ResponseSizeTooLarge"
	return Response{
		TooLarge: true, ErrorType: kind,
		ErrorPayload: encodeError(kind, fmt.Sprintf("Response payload size exceeded maximum allowed payload size (%d bytes).", s.maxResult)),
	}
}

func encodeError(kind, message string) []byte {
	data, err := json.Marshal(struct {
		Type    string `json:"errorType"`
		Message string `json:"errorMessage"`
	}{kind, message})
	if err != nil { // two strings always encode
		return []byte(`{"errorType":"Runtime.Unknown","errorMessage":""}`)
	}
	return data
}

func allow(w http.ResponseWriter, r *http.Request, method string) bool {
	if r.Method == method {
		return true
	}
	w.Header()["Allow"] = []string{method}
	refuse(w, &notAllowed)
	return false
}

func refuse(w http.ResponseWriter, no *refusal) {
	data, err := json.Marshal(no)
	if err != nil { // two strings always encode
		data = nil
	}
	w.Header()["Content-Type"] = jsonType
	w.WriteHeader(no.status)
	_, _ = w.Write(data) // nobody to tell if it fails
}

// accept answers 202.
func accept(w http.ResponseWriter) {
	hd := w.Header()
	hd["Content-Type"] = jsonType
	hd["Content-Length"] = statusOKLength
	hd["Date"] = nil
	w.WriteHeader(http.StatusAccepted)
	_, _ = w.Write(statusOKBytes) // nobody to tell if it fails
}

var statusOKBytes = []byte(statusOK)
