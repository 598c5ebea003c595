// Package frontend is stage 1 of a request's way: HTTP with the routes, the
// states and the errors of the AWS Lambda API, and Thermocline's own API beside
// it.
//
// In come signed HTTP requests; out go answers. On the way of an invocation it
// finds out who asks (package sigv4) and which version of which function is
// meant, counts the start in the history, has the fleet decided and the
// managers chosen, hands the message to dispatch and answers with the result:
// route.go is that orchestration. It knows the stages behind it by the small
// interfaces in options.go and never the inside of a fleet.
//
// Guarantees: nothing is answered to an unverified request but errors, the
// health and code packages whose URL it has signed itself; the sizes of
// requests, and the bytes of all of them together, are bounded; a function
// whose caller goes away finishes; what CreateFunction and the updates promise
// (Pending, InProgress) is finished by Run, also after a restart; internal
// causes are logged and never sent.
//
// One file, error.go, maps the kinds of thermocline.Error to AWS codes.
//
// Its tests drive the Server with the AWS SDK for Go, with boto3 and the aws
// command where they are installed, and replay AWS's recorded answers where
// ../shared/aws-recordings lies beside the project.
package frontend
