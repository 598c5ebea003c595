// Package client speaks to a Thermocline server's own API: what the Lambda
// API has no calls for (explain, fleets, logs, runtimes, health). Functions
// are created and invoked with the AWS SDKs, which need nothing from here.
//
// It stands beside the request's way. In come an endpoint and an access key;
// out go typed answers. Every request but Health is signed with SigV4, as the
// server demands. Errors of the server are *thermocline.Error with the kind
// that its answer names; a server that cannot be reached is ErrUnreachable.
//
// To test it: go test ./client (a server of net/http/httptest answers).
package client
