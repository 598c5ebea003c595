package oci

import (
	"encoding/json"
	"fmt"
	"time"

	"golang.org/x/sys/unix"
)

// exit is how a container's first process ended.
type exit struct {
	status int         // the exit status, if signal is 0
	signal unix.Signal // that ended it
}

// failurePayload is the JSON of an error of the sandbox, as AWS words it.
func failurePayload(kind, requestID, message string) []byte {
	data, err := json.Marshal(struct {
		Type    string `json:"errorType"`
		Message string `json:"errorMessage"`
	}{kind, "RequestId: " + requestID + " Error: " + message})
	if err != nil { // two strings always encode
		return []byte(`{"errorType":"Runtime.Unknown","errorMessage":""}`)
	}
	return data
}

func timeoutPayload(requestID string, timeout time.Duration) []byte {
	return failurePayload("Sandbox.Timedout", requestID,
		fmt.Sprintf("Task timed out after %.2f seconds", timeout.Seconds()))
}

// exitPayload words how the process ended.
func exitPayload(requestID string, e exit) []byte {
	reason := "Runtime exited without providing a reason"
	if e.signal == 0 && e.status != 0 {
		reason = fmt.Sprintf("Runtime exited with error: exit status %d", e.status)
	}
	return failurePayload("Runtime.ExitError", requestID, reason)
}

func memoryPayload(requestID string) []byte {
	return failurePayload("Runtime.ExitError", requestID, "Runtime exited with error: signal: killed")
}

func entrypointPayload(requestID string) []byte {
	return failurePayload("Runtime.InvalidEntrypoint", requestID,
		"Couldn't find valid bootstrap(s): [/var/task/bootstrap /opt/bootstrap]")
}
