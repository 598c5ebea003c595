package sigv4

import (
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// authorization is what a request says of its signature.
type authorization struct {
	keyID, day, region, service, terminator string

	signedHeaders string // lower case, sorted, separated by semicolons
	signature     string // 64 lower-case hexadecimal digits
	stamp         string // the date as sent, in timeFormat
	time          time.Time
	presigned     bool
	expires       time.Duration // presigned only
	hasToken      bool
}

// parse reads the header form or the presigned form.
func parse(r *http.Request) (authorization, error) {
	headers := r.Header["Authorization"]
	presigned := strings.Contains(r.URL.RawQuery, "X-Amz-Algorithm=")
	switch {
	case len(headers) == 1 && !presigned:
		return parseHeader(r, headers[0])
	case len(headers) == 0 && presigned:
		return parseQuery(r.URL.RawQuery)
	case len(headers) == 0:
		return authorization{}, errMissing()
	}
	return authorization{}, errIncomplete("Only one way of authentication is allowed: one Authorization header or the X-Amz-Algorithm query parameter.")
}

func parseHeader(r *http.Request, header string) (a authorization, err error) {
	kind, rest, _ := strings.Cut(strings.TrimSpace(header), " ")
	if kind != algorithm {
		return a, errIncomplete("Unsupported AWS 'algorithm': the Authorization header must begin with '" + algorithm + "'.")
	}
	var credential string
	for rest != "" {
		var part string
		part, rest, _ = strings.Cut(rest, ",")
		name, value, ok := strings.Cut(strings.TrimSpace(part), "=")
		var field *string
		switch name {
		case "Credential":
			field = &credential
		case "SignedHeaders":
			field = &a.signedHeaders
		case "Signature":
			field = &a.signature
		}
		if !ok || field == nil || *field != "" {
			return a, errIncomplete("Authorization header holds something other than one each of Credential, SignedHeaders and Signature.")
		}
		*field = value
	}
	if values := r.Header["X-Amz-Date"]; len(values) == 1 {
		a.stamp = values[0]
	} else if date := r.Header.Get("Date"); date != "" && len(values) == 0 {
		// AWS takes the Date header where there is no X-Amz-Date; the string to
		// sign then holds it in the basic format. It must be signed like any
		// other header that decides something.
		t, err := http.ParseTime(date)
		if err != nil || !isListed(a.signedHeaders, "date") {
			return a, errIncomplete("Authorization header requires existence of either a 'X-Amz-Date' or a signed 'Date' header.")
		}
		a.stamp = t.UTC().Format(timeFormat)
	}
	a.hasToken = r.Header.Get("X-Amz-Security-Token") != ""
	return a, a.complete(credential)
}

func parseQuery(raw string) (a authorization, err error) {
	a.presigned = true
	var credential, algorithmGiven, expires, token string
	for raw != "" {
		var part string
		part, raw, _ = strings.Cut(raw, "&")
		name, value, _ := strings.Cut(part, "=")
		var field *string
		switch name {
		case "X-Amz-Algorithm":
			field = &algorithmGiven
		case "X-Amz-Credential":
			field = &credential
		case "X-Amz-Date":
			field = &a.stamp
		case "X-Amz-Expires":
			field = &expires
		case "X-Amz-SignedHeaders":
			field = &a.signedHeaders
		case "X-Amz-Signature":
			field = &a.signature
		case "X-Amz-Security-Token":
			field = &token
		default:
			continue
		}
		if *field != "" {
			return a, errIncomplete("Query parameter '" + name + "' is given twice.")
		}
		if *field, err = url.QueryUnescape(value); err != nil {
			return a, errIncomplete("Query parameter '" + name + "' is not valid.")
		}
	}
	if algorithmGiven != algorithm {
		return a, errIncomplete("Unsupported AWS 'algorithm': '" + algorithmGiven + "'.")
	}
	seconds, err := strconv.Atoi(expires)
	if err != nil || seconds < 1 || time.Duration(seconds)*time.Second > maxExpires {
		return a, errIncomplete("X-Amz-Expires must be a number of seconds from 1 to 604800.")
	}
	a.expires = time.Duration(seconds) * time.Second
	a.hasToken = token != ""
	return a, a.complete(credential)
}

// complete checks that nothing is missing or malformed and takes the
// credential apart.
func (a *authorization) complete(credential string) error {
	missing := ""
	switch {
	case credential == "":
		missing = "Credential"
	case a.signature == "":
		missing = "Signature"
	case a.signedHeaders == "":
		missing = "SignedHeaders"
	case a.stamp == "":
		missing = "existence of either a 'X-Amz-Date' or a 'Date' header"
	}
	if missing != "" {
		return errIncomplete("Authorization requires '" + missing + "'.")
	}
	parts := strings.Split(credential, "/")
	if len(parts) != 5 || parts[0] == "" {
		return errIncomplete("Credential must have exactly 5 slash-delimited elements, e.g. keyid/date/region/service/term, got '" + credential + "'")
	}
	a.keyID, a.day, a.region, a.service, a.terminator = parts[0], parts[1], parts[2], parts[3], parts[4]

	var err error
	if a.time, err = time.Parse(timeFormat, a.stamp); err != nil {
		return errIncomplete("Date must be in ISO-8601 'basic format'. Got '" + a.stamp + "'.")
	}
	if !isHex64(a.signature) {
		return errMismatch()
	}
	if !isSortedList(a.signedHeaders) {
		return errIncomplete("SignedHeaders must be lower case, sorted, and without repetition.")
	}
	return nil
}

func isHex64(s string) bool {
	if len(s) != 64 {
		return false
	}
	for i := range len(s) {
		if c := s[i]; (c < '0' || c > '9') && (c < 'a' || c > 'f') {
			return false
		}
	}
	return true
}

// isSortedList reports whether the list has only lower-case header names, each
// greater than the one before.
func isSortedList(list string) bool {
	before := ""
	for more := true; more; {
		var name string
		name, list, more = strings.Cut(list, ";")
		if name <= before {
			return false
		}
		for i := range len(name) {
			if c := name[i]; c <= ' ' || c >= 0x7f || 'A' <= c && c <= 'Z' || c == ':' || c == ',' {
				return false
			}
		}
		before = name
	}
	return true
}
