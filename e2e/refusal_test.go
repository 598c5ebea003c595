package e2e_test

import (
	"archive/zip"
	"bytes"
	"encoding/json"
	"errors"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/lambda"
	"github.com/aws/aws-sdk-go-v2/service/lambda/types"
	"github.com/aws/smithy-go"
	"github.com/google/go-cmp/cmp"
)

const role = "arn:aws:iam::000000000000:role/any"

// connect returns an SDK client, without retries, of the server of a data
// directory.
func connect(t *testing.T, data string) *lambda.Client {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join(data, "credentials.json"))
	if err != nil {
		t.Fatal(err)
	}
	var c struct {
		Endpoint        string `json:"endpoint"`
		AccessKeyID     string `json:"access_key_id"`
		SecretAccessKey string `json:"secret_access_key"`
		Region          string `json:"region"`
	}
	if err := json.Unmarshal(raw, &c); err != nil {
		t.Fatal(err)
	}
	return lambda.New(lambda.Options{
		BaseEndpoint: &c.Endpoint, Region: c.Region, RetryMaxAttempts: 1, HTTPClient: http.DefaultClient,
		Credentials: credentials.NewStaticCredentialsProvider(c.AccessKeyID, c.SecretAccessKey, ""),
	})
}

// zipped packs files given as name and content in turn.
func zipped(t *testing.T, files ...string) []byte {
	t.Helper()
	var b bytes.Buffer
	z := zip.NewWriter(&b)
	for i := 0; i < len(files); i += 2 {
		w, err := z.Create(files[i])
		if err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write([]byte(files[i+1])); err != nil {
			t.Fatal(err)
		}
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// linked packs a symbolic link.
func linked(t *testing.T, name, to string) []byte {
	t.Helper()
	var b bytes.Buffer
	z := zip.NewWriter(&b)
	h := &zip.FileHeader{Name: name}
	h.SetMode(fs.ModeSymlink | 0o777)
	w, err := z.CreateHeader(h)
	if err == nil {
		_, err = w.Write([]byte(to))
	}
	if err = errors.Join(err, z.Close()); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// bombs packs zeros: n MB that become about a thousandth.
func bombs(t *testing.T, megabytes int) []byte {
	t.Helper()
	var b bytes.Buffer
	z := zip.NewWriter(&b)
	w, err := z.Create("zeros")
	zeros := make([]byte, 1<<20)
	for range megabytes {
		if err == nil {
			_, err = w.Write(zeros)
		}
	}
	if err = errors.Join(err, z.Close()); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// claims packs an entry that says it holds n bytes.
func claims(t *testing.T, n uint64) []byte {
	t.Helper()
	var b bytes.Buffer
	z := zip.NewWriter(&b)
	_, err := z.CreateRaw(&zip.FileHeader{Name: "zeros", Method: zip.Deflate, UncompressedSize64: n})
	if err = errors.Join(err, z.Close()); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// creating is a request for a Python function.
func creating(name, runtime string, code []byte) *lambda.CreateFunctionInput {
	return &lambda.CreateFunctionInput{
		FunctionName: &name, Runtime: types.Runtime(runtime), Handler: aws.String("app.handler"), Role: aws.String(role),
		Code: &types.FunctionCode{ZipFile: code},
	}
}

func create(t *testing.T, api *lambda.Client, in *lambda.CreateFunctionInput) {
	t.Helper()
	if _, err := api.CreateFunction(t.Context(), in); err != nil {
		t.Fatal(err)
	}
	w := lambda.NewFunctionActiveV2Waiter(api, func(o *lambda.FunctionActiveV2WaiterOptions) {
		o.MinDelay, o.MaxDelay = 25*time.Millisecond, time.Second
	})
	if err := w.Wait(t.Context(), &lambda.GetFunctionInput{FunctionName: in.FunctionName}, 20*time.Second); err != nil {
		t.Fatal(err)
	}
}

// inventory is everything that the API shows of what is stored.
func inventory(t *testing.T, api *lambda.Client) (all []string) {
	t.Helper()
	say := func(v any, err error) {
		if err != nil {
			t.Fatal(err)
		}
		raw, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, string(raw))
	}
	list, err := api.ListFunctions(t.Context(), &lambda.ListFunctionsInput{FunctionVersion: types.FunctionVersionAll})
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range list.Functions {
		say(f, nil)
		if *f.Version == "$LATEST" {
			aliases, err := api.ListAliases(t.Context(), &lambda.ListAliasesInput{FunctionName: f.FunctionName})
			if err != nil {
				t.Fatal(err)
			}
			say(aliases.Aliases, nil)
			tags, err := api.ListTags(t.Context(), &lambda.ListTagsInput{Resource: aws.String(strings.TrimSuffix(*f.FunctionArn, ":$LATEST"))})
			if err != nil {
				t.Fatal(err)
			}
			say(tags.Tags, nil)
		}
	}
	settings, err := api.GetAccountSettings(t.Context(), &lambda.GetAccountSettingsInput{})
	if err != nil {
		t.Fatal(err)
	}
	say(settings.AccountUsage, nil)
	return all
}

// Each wrong request is answered with its AWS error, in time, and leaves the
// store as it was.
func TestRefusals(t *testing.T) {
	needsHost(t)
	_, python := runtimes(t)
	data := filepath.Join(t.TempDir(), "data")
	startOn(t, data)
	t.Cleanup(http.DefaultClient.CloseIdleConnections)
	api := connect(t, data)
	const echo = "def handler(event, context): return event\n"
	published := creating("f", python, zipped(t, "app.py", echo))
	published.Publish = true
	create(t, api, published)
	if _, err := api.CreateAlias(t.Context(), &lambda.CreateAliasInput{FunctionName: aws.String("f"), Name: aws.String("live"), FunctionVersion: aws.String("1")}); err != nil {
		t.Fatal(err)
	}
	good := zipped(t, "a", strings.Repeat("some text ", 1000))
	damaged := bytes.Clone(good)
	damaged[40] ^= 0xff
	const unzip = "Could not unzip uploaded file. Please check your file, then try to upload again."
	both := func(code []byte, wanted, text string) []refusal {
		return []refusal{
			{"create", wanted, text, func() error {
				_, err := api.CreateFunction(t.Context(), creating("g", python, code))
				return err
			}},
			{"update", wanted, text, func() error {
				_, err := api.UpdateFunctionCode(t.Context(), &lambda.UpdateFunctionCodeInput{FunctionName: aws.String("f"), ZipFile: code})
				return err
			}},
		}
	}
	invoke := func(name, qualifier string, payload []byte, kind types.InvocationType) func() error {
		return func() error {
			in := &lambda.InvokeInput{FunctionName: &name, Payload: payload, InvocationType: kind}
			if qualifier != "" {
				in.Qualifier = &qualifier
			}
			_, err := api.Invoke(t.Context(), in)
			return err
		}
	}
	quoted := func(n int) []byte { return []byte(`"` + strings.Repeat("x", n-2) + `"`) }
	const invalid, notFound, validation = "InvalidParameterValueException", "ResourceNotFoundException", "ValidationException"
	for name, group := range map[string][]refusal{
		"a zip that is not one":         both([]byte("random text"), invalid, unzip),
		"a zip that is cut":             both(good[:len(good)-10], invalid, unzip),
		"a zip that is damaged":         both(damaged, invalid, unzip),
		"an empty zip":                  both(zipped(t), invalid, "non-empty zip"),
		"a zip that escapes":            both(zipped(t, "../../etc/cron.d/x", "x"), invalid, "leaves the package"),
		"a zip with an absolute path":   both(zipped(t, "/etc/passwd", "x"), invalid, "is absolute"),
		"a zip that links out":          both(linked(t, "app.py", "../../../etc/shadow"), invalid, "leads out of the package"),
		"a zip that links to the root":  both(linked(t, "app.py", "/etc/shadow"), invalid, "leads out of the package"),
		"a zip that unpacks past 250MB": both(bombs(t, 251), invalid, "Unzipped size must be smaller than 262144000 bytes"),
		"a zip that claims everything":  both(claims(t, 1<<64-1), invalid, "Unzipped size must be smaller than 262144000 bytes"),
		"a payload over the limit": {
			{"synchronous", "RequestTooLargeException", "6291457 byte payload is too large for the RequestResponse invocation type (limit 6291456 bytes)", invoke("f", "", quoted(6<<20+1), "")},
			{"event", "RequestTooLargeException", "1048577 byte payload is too large for the Event invocation type (limit 1048576 bytes)", invoke("f", "", quoted(1<<20+1), types.InvocationTypeEvent)},
		},
		"malformed JSON": {
			{"synchronous", "InvalidRequestContentException", "Could not parse request body into json", invoke("f", "", []byte(`{"a":`), "")},
			{"event", "InvalidRequestContentException", "Could not parse request body into json", invoke("f", "", []byte("hello"), types.InvocationTypeEvent)},
		},
		"unknown": {
			{"function", notFound, "Function not found: arn:aws:lambda:us-east-1:000000000000:function:none:$LATEST", invoke("none", "", nil, "")},
			{"function, event", notFound, "Function not found", invoke("none", "", nil, types.InvocationTypeEvent)},
			{"version", notFound, "Function not found: arn:aws:lambda:us-east-1:000000000000:function:f:7", invoke("f", "7", nil, "")},
			{"alias", notFound, "Function not found: arn:aws:lambda:us-east-1:000000000000:function:f:none", invoke("f", "none", nil, "")},
			{"version of an alias", notFound, "Function not found", func() error {
				_, err := api.CreateAlias(t.Context(), &lambda.CreateAliasInput{FunctionName: aws.String("f"), Name: aws.String("other"), FunctionVersion: aws.String("7")})
				return err
			}},
			{"function to update", notFound, "Function not found", func() error {
				_, err := api.UpdateFunctionConfiguration(t.Context(), &lambda.UpdateFunctionConfigurationInput{FunctionName: aws.String("none"), Timeout: aws.Int32(9)})
				return err
			}},
		},
		"a name out of pattern": {
			{"create", validation, "Member must satisfy regular expression pattern", func() error {
				_, err := api.CreateFunction(t.Context(), creating("no name!", python, good))
				return err
			}},
			{"invoke", validation, "Member must satisfy regular expression pattern", invoke("no name!", "", nil, "")},
			{"qualifier", validation, "Member must satisfy regular expression pattern", invoke("f", "no qualifier!", nil, "")},
			{"too long", invalid, "Member must have length less than or equal to 64", func() error {
				_, err := api.CreateFunction(t.Context(), creating(strings.Repeat("a", 65), python, good))
				return err
			}},
			{"alias", validation, "Member must satisfy regular expression pattern", func() error {
				_, err := api.CreateAlias(t.Context(), &lambda.CreateAliasInput{FunctionName: aws.String("f"), Name: aws.String("7"), FunctionVersion: aws.String("1")})
				return err
			}},
		},
		"what cannot be had": {
			{"a runtime", invalid, "failed to satisfy constraint", func() error {
				_, err := api.CreateFunction(t.Context(), creating("g", "cobol85", good))
				return err
			}},
			{"a version that an alias has", "ResourceConflictException", "alias", func() error {
				_, err := api.DeleteFunction(t.Context(), &lambda.DeleteFunctionInput{FunctionName: aws.String("f"), Qualifier: aws.String("1")})
				return err
			}},
			{"another version's configuration", invalid, "permitted on Lambda functions only", func() error {
				_, err := api.UpdateFunctionConfiguration(t.Context(), &lambda.UpdateFunctionConfigurationInput{FunctionName: aws.String("f:1"), Timeout: aws.Int32(9)})
				return err
			}},
		},
	} {
		t.Run(name, func(t *testing.T) {
			for _, r := range group {
				before := inventory(t, api)
				began := time.Now()
				err := r.call()
				var got smithy.APIError
				if !errors.As(err, &got) || got.ErrorCode() != r.code || !strings.Contains(got.ErrorMessage(), r.text) {
					t.Errorf("%s: got %v, want %s with %q", r.name, err, r.code, r.text)
				}
				if took := time.Since(began); took > 10*time.Second {
					t.Errorf("%s: answered after %v", r.name, took)
				}
				if diff := cmp.Diff(before, inventory(t, api)); diff != "" {
					t.Errorf("%s: the store was changed:\n%s", r.name, diff)
				}
			}
		})
	}
	if out, err := api.Invoke(t.Context(), &lambda.InvokeInput{FunctionName: aws.String("f:live"), Payload: []byte("[1]")}); err != nil || string(out.Payload) != "[1]" {
		t.Errorf("after all of that: %+v, %v", out, err)
	}
}

// refusal is one request that is refused.
type refusal struct {
	name, code, text string
	call             func() error
}

// A handler that cannot begin is the function's fault: the answer says how, in
// time, again and again, and leaves the function as it was.
func TestHandlersThatCannotBegin(t *testing.T) {
	needsHost(t)
	node, python := runtimes(t)
	data := filepath.Join(t.TempDir(), "data")
	startOn(t, data)
	t.Cleanup(http.DefaultClient.CloseIdleConnections)
	api := connect(t, data)
	for _, tt := range []struct {
		name, runtime, file, code, handler string
		errorType                          string
		within                             time.Duration
	}{
		{"python-no-handler", python, "app.py", "x = 1\n", "app.handler", "Runtime.HandlerNotFound", 5 * time.Second},
		{"python-no-module", python, "other.py", "x = 1\n", "app.handler", "Runtime.ImportModuleError", 5 * time.Second},
		{"python-throws", python, "app.py", "raise ValueError('at import')\n", "app.handler", "ValueError", 5 * time.Second},
		{"python-syntax", python, "app.py", "def handler(:\n", "app.handler", "Runtime.UserCodeSyntaxError", 5 * time.Second},
		{"python-exits", python, "app.py", "import os\nos._exit(7)\n", "app.handler", "Runtime.ExitError", 5 * time.Second},
		{"python-loops", python, "app.py", "while True: pass\n", "app.handler", "Sandbox.Timedout", 30 * time.Second},
		{"node-no-handler", node, "index.js", "exports.other = 1\n", "index.handler", "Runtime.HandlerNotFound", 5 * time.Second},
		{"node-no-module", node, "other.js", "\n", "index.handler", "Runtime.ImportModuleError", 5 * time.Second},
		{"node-throws", node, "index.js", "throw new TypeError('at import')\n", "index.handler", "TypeError", 5 * time.Second},
		{"node-syntax", node, "index.js", "exports.handler = (\n", "index.handler", "Runtime.UserCodeSyntaxError", 5 * time.Second},
		{"node-loops", node, "index.js", "for (;;) {}\n", "index.handler", "Sandbox.Timedout", 30 * time.Second},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			in := creating(tt.name, tt.runtime, zipped(t, tt.file, tt.code))
			in.Handler, in.Timeout = aws.String(tt.handler), aws.Int32(2)
			create(t, api, in)
			before, err := api.GetFunction(t.Context(), &lambda.GetFunctionInput{FunctionName: &tt.name})
			if err != nil {
				t.Fatal(err)
			}
			tries := 2
			if tt.errorType == "Sandbox.Timedout" {
				tries = 1 // each takes the 10 s of an initialisation and the timeout
			}
			for range tries {
				began := time.Now()
				out, err := api.Invoke(t.Context(), &lambda.InvokeInput{FunctionName: &tt.name, LogType: types.LogTypeTail})
				if err != nil {
					t.Fatal(err)
				}
				var said struct{ ErrorType, ErrorMessage string }
				if err := json.Unmarshal(out.Payload, &said); err != nil {
					t.Fatalf("%s: %v", out.Payload, err)
				}
				if aws.ToString(out.FunctionError) != "Unhandled" || said.ErrorType != tt.errorType || said.ErrorMessage == "" {
					t.Errorf("got %s %s, want %s", aws.ToString(out.FunctionError), out.Payload, tt.errorType)
				}
				if took := time.Since(began); took > tt.within {
					t.Errorf("answered after %v", took)
				}
			}
			after, err := api.GetFunction(t.Context(), &lambda.GetFunctionInput{FunctionName: &tt.name})
			if err != nil || *after.Configuration.RevisionId != *before.Configuration.RevisionId || after.Configuration.State != types.StateActive {
				t.Errorf("the function was changed: %+v, %v", after, err)
			}
			// Mended, it runs.
			fixed := map[string]string{"app.py": "def handler(event, context): return 'well'\n", "index.js": "exports.handler = async () => 'well'\n"}
			file := "app.py"
			if tt.runtime == node {
				file = "index.js"
			}
			if _, err := api.UpdateFunctionCode(t.Context(), &lambda.UpdateFunctionCodeInput{FunctionName: &tt.name, ZipFile: zipped(t, file, fixed[file])}); err != nil {
				t.Fatal(err)
			}
			out, err := api.Invoke(t.Context(), &lambda.InvokeInput{FunctionName: &tt.name})
			if err != nil || string(out.Payload) != `"well"` {
				t.Errorf("mended: %+v, %v", out, err)
			}
		})
	}
}
