package frontend

import (
	"net/http"
	"net/url"
	"strings"
)

const (
	maxParameters = 2
	ownPrefix     = "/thermocline/v1/" // of the own API's paths
)

// operation is one operation of an API.
type operation struct {
	name        string // as AWS names it, in messages
	method      string
	pattern     string // segments; {} is a parameter
	serve       func(q *request) error
	maxBody     int64 // maxBody if 0
	forInvokers bool  // keys with the scope invoke may call it

	segments []string
}

// operations are all operations, by their number of segments.
var operations = index([]operation{
	{name: "InvokeFunction", method: "POST", pattern: "/2015-03-31/functions/{}/invocations", serve: (*request).invoke, maxBody: maxInvokeBody, forInvokers: true},

	{name: "CreateFunction", method: "POST", pattern: "/2015-03-31/functions", serve: (*request).createFunction, maxBody: maxCreateBody},
	{name: "ListFunctions", method: "GET", pattern: "/2015-03-31/functions", serve: (*request).listFunctions},
	{name: "GetFunction", method: "GET", pattern: "/2015-03-31/functions/{}", serve: (*request).getFunction},
	{name: "DeleteFunction", method: "DELETE", pattern: "/2015-03-31/functions/{}", serve: (*request).deleteFunction},
	{name: "GetFunctionConfiguration", method: "GET", pattern: "/2015-03-31/functions/{}/configuration", serve: (*request).getFunctionConfiguration},
	{name: "UpdateFunctionConfiguration", method: "PUT", pattern: "/2015-03-31/functions/{}/configuration", serve: (*request).updateFunctionConfiguration},
	{name: "UpdateFunctionCode", method: "PUT", pattern: "/2015-03-31/functions/{}/code", serve: (*request).updateFunctionCode, maxBody: maxCreateBody},

	{name: "PublishVersion", method: "POST", pattern: "/2015-03-31/functions/{}/versions", serve: (*request).publishVersion},
	{name: "ListVersionsByFunction", method: "GET", pattern: "/2015-03-31/functions/{}/versions", serve: (*request).listVersions},

	{name: "CreateAlias", method: "POST", pattern: "/2015-03-31/functions/{}/aliases", serve: (*request).createAlias},
	{name: "ListAliases", method: "GET", pattern: "/2015-03-31/functions/{}/aliases", serve: (*request).listAliases},
	{name: "GetAlias", method: "GET", pattern: "/2015-03-31/functions/{}/aliases/{}", serve: (*request).getAlias},
	{name: "UpdateAlias", method: "PUT", pattern: "/2015-03-31/functions/{}/aliases/{}", serve: (*request).updateAlias},
	{name: "DeleteAlias", method: "DELETE", pattern: "/2015-03-31/functions/{}/aliases/{}", serve: (*request).deleteAlias},

	{name: "PutFunctionConcurrency", method: "PUT", pattern: "/2017-10-31/functions/{}/concurrency", serve: (*request).putConcurrency},
	{name: "DeleteFunctionConcurrency", method: "DELETE", pattern: "/2017-10-31/functions/{}/concurrency", serve: (*request).deleteConcurrency},
	{name: "GetFunctionConcurrency", method: "GET", pattern: "/2019-09-30/functions/{}/concurrency", serve: (*request).getConcurrency},

	{name: "ListTags", method: "GET", pattern: "/2017-03-31/tags/{}", serve: (*request).listTags},
	{name: "TagResource", method: "POST", pattern: "/2017-03-31/tags/{}", serve: (*request).tagResource},
	{name: "UntagResource", method: "DELETE", pattern: "/2017-03-31/tags/{}", serve: (*request).untagResource},

	{name: "GetAccountSettings", method: "GET", pattern: "/2016-08-19/account-settings", serve: (*request).getAccountSettings},
	{name: "GetFunctionCodeSigningConfig", method: "GET", pattern: "/2020-06-30/functions/{}/code-signing-config", serve: (*request).getCodeSigning},
	{name: "DeleteFunctionCodeSigningConfig", method: "DELETE", pattern: "/2020-06-30/functions/{}/code-signing-config", serve: (*request).deleteCodeSigning},
	{name: "GetRuntimeManagementConfig", method: "GET", pattern: "/2021-07-20/functions/{}/runtime-management-config", serve: (*request).getRuntimeManagement},
	{name: "PutRuntimeManagementConfig", method: "PUT", pattern: "/2021-07-20/functions/{}/runtime-management-config", serve: (*request).putRuntimeManagement},
	{name: "GetFunctionRecursionConfig", method: "GET", pattern: "/2024-08-31/functions/{}/recursion-config", serve: (*request).getRecursion},
	{name: "PutFunctionRecursionConfig", method: "PUT", pattern: "/2024-08-31/functions/{}/recursion-config", serve: (*request).putRecursion},

	{name: "RunProgram", method: "POST", pattern: "/thermocline/v1/run", serve: (*request).runProgram, maxBody: maxRunBody},
	{name: "ExplainFunction", method: "GET", pattern: "/thermocline/v1/functions/{}/explain", serve: (*request).explain},
	{name: "GetLogs", method: "GET", pattern: "/thermocline/v1/functions/{}/logs", serve: (*request).logs},
	{name: "ListFleets", method: "GET", pattern: "/thermocline/v1/fleets", serve: (*request).fleets},
	{name: "ListAccounts", method: "GET", pattern: "/thermocline/v1/accounts", serve: (*request).listAccounts},
	{name: "CreateAccount", method: "POST", pattern: "/thermocline/v1/accounts", serve: (*request).createAccount},
	{name: "GetAccount", method: "GET", pattern: "/thermocline/v1/accounts/{}", serve: (*request).getAccount},
	{name: "UpdateAccount", method: "PATCH", pattern: "/thermocline/v1/accounts/{}", serve: (*request).updateAccount},
	{name: "DeleteAccount", method: "DELETE", pattern: "/thermocline/v1/accounts/{}", serve: (*request).deleteAccount},
	{name: "ListKeys", method: "GET", pattern: "/thermocline/v1/accounts/{}/keys", serve: (*request).listKeys},
	{name: "CreateKey", method: "POST", pattern: "/thermocline/v1/accounts/{}/keys", serve: (*request).createKey},
	{name: "RevokeKey", method: "DELETE", pattern: "/thermocline/v1/accounts/{}/keys/{}", serve: (*request).revokeKey},
	{name: "ListRuntimes", method: "GET", pattern: "/thermocline/v1/runtimes", serve: (*request).runtimes},
})

// index groups operations by the number of their segments.
func index(list []operation) map[int][]operation {
	m := make(map[int][]operation)
	for _, op := range list {
		op.segments = strings.Split(op.pattern[1:], "/")
		m[len(op.segments)] = append(m[len(op.segments)], op)
	}
	return m
}

// match finds the request's operation and fills in the path's parameters. It
// returns nil when there is none.
func (q *request) match() *operation {
	var room [8]string
	segments := room[:0]
	for rest := strings.Trim(q.r.URL.EscapedPath(), "/"); rest != ""; {
		if len(segments) == len(room) {
			return nil
		}
		var s string
		s, rest, _ = strings.Cut(rest, "/")
		segments = append(segments, s)
	}
	candidates := operations[len(segments)]
	for i := range candidates {
		if op := &candidates[i]; op.method == q.r.Method && q.take(op, segments) {
			return op
		}
	}
	return nil
}

// take compares a path with an operation's and keeps the parameters.
func (q *request) take(op *operation, segments []string) bool {
	n := 0
	for i, want := range op.segments {
		if want != "{}" {
			if segments[i] != want {
				return false
			}
			continue
		}
		value, err := url.PathUnescape(segments[i])
		if err != nil || value == "" {
			return false
		}
		q.path[n] = value
		n++
	}
	return true
}

// servePublic answers what needs no signature, if r is such a request.
func (s *Server) servePublic(w http.ResponseWriter, r *http.Request) bool {
	if r.Method != http.MethodGet || !strings.HasPrefix(r.URL.Path, ownPrefix) {
		return false
	}
	switch {
	case r.URL.Path == ownPrefix+"health":
		s.health(w)
	case strings.HasPrefix(r.URL.Path, codePath):
		s.serveCode(w, r)
	default:
		return false
	}
	return true
}
