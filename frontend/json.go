package frontend

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"
)

const redacted = "\n at [Source: REDACTED (`StreamReadFeature.INCLUDE_SOURCE_IN_LOCATION` disabled); line: %d, column: %d]"

// payloadProblem says why a payload is no JSON, in the words of AWS's parser
// (Jackson) where the fault is one that it words in a way of its own.
func payloadProblem(data []byte) string {
	var syntax *json.SyntaxError
	var v json.RawMessage
	if err := json.Unmarshal(data, &v); !errors.As(err, &syntax) {
		return "the payload is not valid JSON"
	}
	at := min(int(syntax.Offset)-1, len(data)-1)
	at = max(at, 0)
	line, column := position(data, at)
	if syntax.Error() == "unexpected end of JSON input" {
		line, column = position(data, len(data))
		return "Unexpected end-of-input" + fmt.Sprintf(redacted, line, column)
	}
	// encoding/json reports the byte at which a multi-byte character begins or
	// any of its later ones.
	for at > 0 && !utf8.RuneStart(data[at]) {
		at--
	}
	r, _ := utf8.DecodeRune(data[at:])
	if token := wordAt(data, at); token != "" {
		return fmt.Sprintf("Unrecognized token '%s': was expecting (JSON String, Number, Array, Object or token 'null', 'true' or 'false')"+redacted, token, line, column+len(token))
	}
	return fmt.Sprintf("Unexpected character (%s): expected a valid value (JSON String, Number, Array, Object or token 'null', 'true' or 'false')"+redacted, character(r), line, column)
}

// jsonProblem says why the body of another operation is not what it should be.
func jsonProblem(data []byte, err error) string {
	var kind *json.UnmarshalTypeError
	if errors.As(err, &kind) {
		// The embedded settings are no member that a caller knows.
		return fmt.Sprintf("%s must be of type %s, not %s", strings.TrimPrefix(kind.Field, "settings."), kind.Type, kind.Value)
	}
	var syntax *json.SyntaxError
	if errors.As(err, &syntax) {
		return payloadProblem(data)
	}
	return err.Error()
}

func position(data []byte, at int) (line, column int) {
	line, column = 1, 1
	for _, c := range data[:at] {
		switch {
		case c == '\n':
			line, column = line+1, 1
		case utf8.RuneStart(c):
			column++
		}
	}
	return line, column
}

// character is how Jackson shows one.
func character(r rune) string {
	if r < ' ' || r >= 0x7f && r < 0xa0 {
		return fmt.Sprintf("(CTRL-CHAR, code %d)", r)
	}
	return fmt.Sprintf("'%c' (code %d)", r, r)
}

// wordAt returns the word at which a value should be, if it is one.
func wordAt(data []byte, at int) string {
	word := func(c byte) bool {
		return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || c == '_' || c == '$'
	}
	start, end := at, at
	for start > 0 && word(data[start-1]) {
		start--
	}
	for end < len(data) && word(data[end]) && end-start < 64 {
		end++
	}
	if start == end || '0' <= data[start] && data[start] <= '9' {
		return ""
	}
	return string(data[start:end])
}
