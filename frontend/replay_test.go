package frontend_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"

	"thermocline/frontend"
)

// recordings are AWS's recorded answers, by test and by label. They lie beside
// the project, not in it.
func recordings(t *testing.T, file string) map[string]map[string]any {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join("..", "..", "shared", "aws-recordings", file))
	if errors.Is(err, fs.ErrNotExist) && os.Getenv("CI") == "" {
		t.Skip("SKIPPED: AWS's recorded answers are not at ../shared/aws-recordings, beside the project")
	}
	if err != nil {
		t.Fatal(err)
	}
	var all map[string]struct {
		Content map[string]any `json:"recorded-content"`
	}
	if err := json.Unmarshal(raw, &all); err != nil {
		t.Fatal(err)
	}
	out := make(map[string]map[string]any)
	for id, test := range all {
		_, short, _ := strings.Cut(id, "::")
		out[short] = test.Content
	}
	return out
}

// replay does again what one recorded test did.
type replay struct {
	*rig
	recorded map[string]any
	used     map[string]bool
	bound    map[string]string // placeholder to value
	names    map[string]string // value to placeholder
}

// wild are recorded values that stand for anything.
var wild = []string{"date", "datetime", "code-sha256", "<code-size>", "<location>"}

var placeholder = regexp.MustCompile(`<[a-z][^<>]*>`)

// answer is a response as boto3 would show it.
type answer map[string]any

func (a answer) get(path ...string) string {
	var v any = map[string]any(a)
	for _, p := range path {
		m, ok := v.(map[string]any)
		if !ok {
			return ""
		}
		v = m[p]
	}
	return fmt.Sprint(v)
}

// call sends one signed request. body is JSON if it is not bytes.
func (p *replay) call(method, target string, body any, header ...string) answer {
	p.t.Helper()
	status, h, raw := p.raw(method, target, body, header...)
	a := answer{"ResponseMetadata": map[string]any{"HTTPHeaders": map[string]any{}, "HTTPStatusCode": float64(status)}}
	var parsed map[string]any
	if len(raw) > 0 {
		if err := json.Unmarshal(raw, &parsed); err != nil {
			p.t.Fatalf("%s %s: %s", method, target, raw)
		}
	}
	maps.Copy(a, parsed)
	if status >= 400 {
		message, ok := parsed["message"]
		if !ok {
			message = parsed["Message"]
		}
		code := h.Get("X-Amzn-Errortype")
		// The SDKs' model has no members for these.
		if slices.Contains([]string{"ValidationException", "AccessDeniedException", "RequestEntityTooLargeException"}, code) {
			delete(a, "message")
			delete(a, "Message")
		}
		a["Error"] = map[string]any{"Code": code, "Message": message}
	}
	return a
}

// raw sends a request that is signed by hand, as no SDK would refuse to.
func (g *rig) raw(method, target string, body any, header ...string) (int, http.Header, []byte) {
	g.t.Helper()
	payload, ok := body.([]byte)
	if !ok && body != nil {
		payload, _ = json.Marshal(body)
	}
	r, err := http.NewRequestWithContext(g.t.Context(), method, g.url+target, bytes.NewReader(payload))
	if err != nil {
		g.t.Fatal(err)
	}
	key := adminKey
	for i := 0; i < len(header); i += 2 {
		if header[i] == "key" {
			key = header[i+1]
			continue
		}
		r.Header.Set(header[i], header[i+1])
	}
	sum := sha256.Sum256(payload)
	if err := v4.NewSigner().SignHTTP(g.t.Context(), aws.Credentials{AccessKeyID: key, SecretAccessKey: secret}, r, hex.EncodeToString(sum[:]), "lambda", region, time.Now()); err != nil {
		g.t.Fatal(err)
	}
	response, err := http.DefaultClient.Do(r)
	if err != nil {
		g.t.Fatal(err)
	}
	defer response.Body.Close()
	raw, err := io.ReadAll(response.Body)
	if err != nil {
		g.t.Fatal(err)
	}
	return response.StatusCode, response.Header, raw
}

// same compares an answer with the recorded one of the label.
func (p *replay) same(label string, got answer) {
	p.t.Helper()
	want, ok := p.recorded[label]
	if !ok {
		p.t.Fatalf("nothing is recorded as %q", label)
	}
	p.used[label] = true
	if m, ok := want.(map[string]any); ok {
		if inner, ok := m["CreateFunctionResponse"]; ok {
			want = inner
		}
		if _, ok := m["ResponseMetadata"]; !ok && m["FunctionArn"] == nil && m["CreateFunctionResponse"] == nil {
			delete(got, "ResponseMetadata") // the recording left it out
		}
	}
	for _, d := range p.compare(label, want, map[string]any(got)) {
		p.t.Error(d)
	}
}

func (p *replay) compare(at string, want, got any) (differences []string) {
	switch w := want.(type) {
	case map[string]any:
		g, ok := got.(map[string]any)
		if !ok {
			return []string{fmt.Sprintf("%s: got %v, want an object", at, got)}
		}
		for _, k := range slices.Sorted(maps.Keys(w)) {
			if k == "StatusCode" || k == "HTTPHeaders" {
				continue
			}
			v, ok := g[k]
			if !ok {
				differences = append(differences, fmt.Sprintf("%s.%s: missing, want %v", at, k, w[k]))
				continue
			}
			differences = append(differences, p.compare(at+"."+k, w[k], v)...)
		}
		for _, k := range slices.Sorted(maps.Keys(g)) {
			if _, ok := w[k]; !ok {
				differences = append(differences, fmt.Sprintf("%s.%s: got %v, want none", at, k, g[k]))
			}
		}
	case []any:
		g, _ := got.([]any)
		if len(g) != len(w) {
			return []string{fmt.Sprintf("%s: got %v, want %v", at, got, want)}
		}
		for i := range w {
			differences = append(differences, p.compare(fmt.Sprintf("%s[%d]", at, i), w[i], g[i])...)
		}
	case string:
		if slices.Contains(wild, w) || p.fits(w, fmt.Sprint(got)) {
			return nil
		}
		return []string{fmt.Sprintf("%s:\n got %v\nwant %s", at, got, w)}
	default:
		if want != got {
			return []string{fmt.Sprintf("%s: got %v, want %v", at, got, want)}
		}
	}
	return differences
}

// fits binds the placeholders of a recorded string, each to one value.
func (p *replay) fits(want, got string) bool {
	want = strings.NewReplacer("<region>", region, "<partition>", "aws").Replace(want)
	var pattern strings.Builder
	var names []string
	rest := want
	for _, at := range placeholder.FindAllStringIndex(want, -1) {
		pattern.WriteString(regexp.QuoteMeta(want[len(want)-len(rest) : at[0]]))
		pattern.WriteString("(.+)")
		names = append(names, want[at[0]:at[1]])
		rest = want[at[1]:]
	}
	pattern.WriteString(regexp.QuoteMeta(rest))
	m := regexp.MustCompile(`^(?s:` + pattern.String() + `)$`).FindStringSubmatch(got)
	if m == nil {
		return false
	}
	for i, name := range names {
		value := m[i+1]
		if have, ok := p.bound[name]; ok && have != value {
			return false
		}
		if have, ok := p.names[value]; ok && have != name {
			return false
		}
		p.bound[name], p.names[value] = value, name
	}
	return true
}

const functions = "/2015-03-31/functions"

func fn(name string, rest ...string) string {
	return functions + "/" + url.PathEscape(name) + strings.Join(rest, "")
}

// def is the body of a CreateFunction. Changes are names and values in turn;
// nil removes.
func def(t testing.TB, name string, changes ...any) map[string]any {
	m := map[string]any{
		"FunctionName": name, "Role": role, "Runtime": "python3.12", "Handler": "index.handler",
		"Code": map[string]any{"ZipFile": packed(t, "index.py", "def handler(e, c): return e")},
	}
	for i := 0; i < len(changes); i += 2 {
		if changes[i+1] == nil {
			delete(m, changes[i].(string))
			continue
		}
		m[changes[i].(string)] = changes[i+1]
	}
	return m
}

// helper is def as the recorded tests' own helper made functions.
func helper(t testing.TB, name string, changes ...any) map[string]any {
	return def(t, name, append([]any{
		"Handler", "handler.handler", "Timeout", 30, "Environment", map[string]any{"Variables": map[string]any{}},
	}, changes...)...)
}

type object = map[string]any

// active waits for a version to be Active and not being updated.
func (p *replay) active(name string) {
	p.t.Helper()
	for deadline := time.Now().Add(10 * time.Second); ; {
		a := p.call("GET", fn(name, "/configuration"), nil)
		if a.get("State") == "Active" && a.get("LastUpdateStatus") == "Successful" {
			return
		}
		if time.Now().After(deadline) {
			p.t.Fatalf("%s does not become active: %v", name, a)
		}
		time.Sleep(10 * time.Millisecond) // polling, as the clients do
	}
}

// replayAll runs scripts, one for each recorded test.
func replayAll(t *testing.T, file string, scripts map[string]func(p *replay)) {
	all := recordings(t, file)
	for id, script := range scripts {
		t.Run(id, func(t *testing.T) {
			t.Parallel()
			recorded, ok := all[id]
			if !ok {
				t.Fatal("no such recording")
			}
			g := newRig(t, func(o *frontend.Options) { o.Limits.Settle = 250 * time.Millisecond })
			p := &replay{rig: g, recorded: recorded, used: map[string]bool{}, bound: map[string]string{}, names: map[string]string{}}
			script(p)
			for label := range recorded {
				if !p.used[label] && !t.Failed() {
					t.Errorf("the recorded %q is not replayed", label)
				}
			}
		})
	}
}

// skip says which recorded answers a script leaves out, and why.
func (p *replay) skip(why string, labels ...string) {
	p.t.Logf("left out, %s: %s", why, strings.Join(labels, ", "))
	for _, l := range labels {
		p.used[l] = true
	}
}
