package frontend_test

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

var lengths = regexp.MustCompile(`<a:len\((\d+)\)>`)

// TestReplayNames sends the names and qualifiers of a table and compares each
// answer with the recorded one.
func TestReplayNames(t *testing.T) {
	const test = "TestLambdaFunction::test_function_name_and_qualifier_validation["
	base := "arn:aws:lambda:" + region + ":" + account + ":function:my-function"
	wrong := "arn:aws:lambda:invalid-region:" + account + ":function:my-function"
	a := func(n int) string { return strings.Repeat("a", n) }
	names := map[string]struct{ name, qualifier string }{
		"full_arn_and_qualifier_too_long_and_invalid_region": {wrong + "-" + a(170), a(129)},
		"full_arn_with_multiple_qualifiers":                  {base + ":1:2", ""},
		"function_name_and_qualifier_too_long":               {"my-function", a(65)},
		"function_name_is_single_invalid":                    {"*", ""},
		"function_name_too_long":                             {a(65), ""},
		"function_name_too_long_and_invalid_region":          {wrong + a(170), ""},
		"incomplete_arn":                                     {"arn:aws:lambda:" + region + ":" + account + ":function", ""},
		"invalid_account_id_in_partial_arn":                  {"invalid-account:function:my-function", ""},
		"invalid_characters_in_function_name":                {"my-function!", ""},
		"invalid_characters_in_qualifier":                    {"my-function", "invalid!"},
		"invalid_region_in_arn":                              {wrong, ""},
		"latest_version_with_additional_qualifier":           {base + ":$LATEST", "1"},
		"lowercase_latest_qualifier":                         {base, "$latest"},
		"missing_account_id_in_arn":                          {"arn:aws:lambda:" + region + "::function:my-function", ""},
		"missing_region_in_arn":                              {"arn:aws:lambda::" + account + ":function:my-function", ""},
		"misspelled_latest_in_arn":                           {base + ":$LATES", ""},
		"non_lambda_arn":                                     {"arn:aws:ec2:" + region + ":" + account + ":instance:i-1234567890abcdef0", ""},
		"partial_arn_with_extra_qualifier":                   {"function:my-function:$LATEST:extra", ""},
		"qualifier_too_long":                                 {"my-function", a(129)},
		"qualifier_too_long0":                                {"my-function", a(129)},
		"qualifier_too_long1":                                {"my-function", a(65)},
	}
	// In a create the qualifier is part of the name.
	inCreate := map[string]string{
		"full_arn_and_qualifier_too_long_and_invalid_region": wrong + "-" + a(170) + ":" + a(129),
		"invalid_characters_in_qualifier":                    "my-function:invalid!",
		"latest_version_with_additional_qualifier":           base + ":$LATEST:1",
		"lowercase_latest_qualifier":                         base + ":$latest",
	}
	all := recordings(t, "api.json")
	g := newRig(t)
	tried := 0
	for _, id := range slices.Sorted(maps.Keys(all)) {
		rest, ok := strings.CutPrefix(id, test)
		if !ok {
			continue
		}
		tried++
		t.Run(strings.TrimSuffix(rest, "]"), func(t *testing.T) {
			p := &replay{rig: g, bound: map[string]string{}, names: map[string]string{}}
			cut := strings.LastIndex(rest, "-")
			kind, operation := rest[:cut], strings.TrimSuffix(rest[cut+1:], "]")
			n, ok := names[kind]
			if !ok {
				t.Fatal("the table lacks it")
			}
			target := fn(n.name)
			query := ""
			if n.qualifier != "" {
				query = "?Qualifier=" + n.qualifier
			}
			var got answer
			switch operation {
			case "create_function":
				name := n.name
				if other, ok := inCreate[kind]; ok {
					name = other
				}
				got = p.call("POST", functions, def(t, name))
			case "get_function":
				got = p.call("GET", target+query, nil)
			case "delete_function":
				got = p.call("DELETE", target+query, nil)
			case "invoke":
				got = p.call("POST", target+"/invocations"+query, nil)
			}
			for _, recorded := range all[id] {
				compareNames(t, recorded.(map[string]any), got)
			}
		})
	}
	if tried == 0 {
		t.Error("no such recordings")
	}
}

// compareNames compares codes and messages. In the recorded ones runs of the
// letter a are shortened in more than one way, so all runs are shortened here.
func compareNames(t *testing.T, recorded map[string]any, got answer) {
	t.Helper()
	shorten := func(s string) string {
		s = strings.NewReplacer("<region>", region, "<partition>", "aws").Replace(s)
		s = lengths.ReplaceAllStringFunc(s, func(m string) string {
			n, _ := strconv.Atoi(lengths.FindStringSubmatch(m)[1])
			return strings.Repeat("a", n)
		})
		return regexp.MustCompile(`a{30,}`).ReplaceAllString(s, "<a>")
	}
	if code := got.get("Error", "Code"); code != recorded["Code"] {
		t.Errorf("code %s, want %s", code, recorded["Code"])
	}
	message := shorten(got.get("Error", "Message"))
	if want, ok := recorded["Message"].(string); ok {
		if message != shorten(want) {
			t.Errorf("got  %s\nwant %s", message, shorten(want))
		}
		return
	}
	var problems []string
	for _, e := range recorded["Errors"].([]any) {
		problems = append(problems, shorten(e.(string)))
	}
	head, tail, _ := strings.Cut(message, " detected: ")
	if !strings.HasPrefix(head, fmt.Sprint(recorded["Count"])+" validation error") {
		t.Errorf("got %s, want %v", head, recorded["Count"])
	}
	if want := strings.Join(problems, "; "); tail != want {
		t.Errorf("got  %s\nwant %s", tail, want)
	}
}

// A comparison that cannot fail would prove nothing.
func TestReplayNotices(t *testing.T) {
	p := &replay{bound: map[string]string{}, names: map[string]string{}}
	want := object{"A": "<uuid:1>", "B": "<uuid:2>", "C": "x"}
	for name, got := range map[string]object{
		"one value for two":   {"A": "1", "B": "1", "C": "x"},
		"another text":        {"A": "1", "B": "2", "C": "y"},
		"a missing member":    {"A": "1", "B": "2"},
		"one member too many": {"A": "1", "B": "2", "C": "x", "D": 1},
	} {
		clear(p.bound)
		clear(p.names)
		if len(p.compare("", want, got)) == 0 {
			t.Errorf("%s is not noticed", name)
		}
	}
	clear(p.bound)
	clear(p.names)
	if d := p.compare("", want, object{"A": "1", "B": "2", "C": "x"}); len(d) > 0 {
		t.Error(d)
	}
	if d := p.compare("", "<uuid:1>", "2"); len(d) == 0 {
		t.Error("a placeholder of another value is not noticed")
	}
}
