package frontend_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/lambda"
	"github.com/aws/aws-sdk-go-v2/service/lambda/types"
	"github.com/google/go-cmp/cmp"

	"thermocline"
	"thermocline/frontend"
)

func TestLifeOfAFunction(t *testing.T) {
	g := newRig(t)
	ctx := t.Context()
	in := creation(t, "f")
	in.Environment = &types.Environment{Variables: map[string]string{"KEY": "1"}}
	created, err := g.CreateFunction(ctx, in)
	if err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256(in.Code.ZipFile)
	if created.State != types.StatePending || *created.StateReason != "The function is being created." || created.StateReasonCode != types.StateReasonCodeCreating ||
		created.LastUpdateStatus != "" || *created.FunctionArn != prefix+"f" || *created.Version != "$LATEST" ||
		*created.CodeSha256 != base64.StdEncoding.EncodeToString(sum[:]) || created.CodeSize != int64(len(in.Code.ZipFile)) {
		t.Errorf("created: %+v", created)
	}
	g.settled("f")
	got, err := g.GetFunction(ctx, &lambda.GetFunctionInput{FunctionName: aws.String("f")})
	if err != nil {
		t.Fatal(err)
	}
	c := got.Configuration
	if c.State != types.StateActive || c.StateReason != nil || c.LastUpdateStatus != types.LastUpdateStatusSuccessful || *c.RevisionId == *created.RevisionId {
		t.Errorf("active: %+v", c)
	}
	answer, err := http.Get(*got.Code.Location)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	if zip, _ := io.ReadAll(answer.Body); !bytes.Equal(zip, in.Code.ZipFile) {
		t.Errorf("the location answers %s with %d bytes", answer.Status, len(zip))
	}

	out, err := g.Invoke(ctx, &lambda.InvokeInput{FunctionName: aws.String("f"), Payload: []byte(`{"a":1}`), LogType: types.LogTypeTail})
	if err != nil {
		t.Fatal(err)
	}
	if string(out.Payload) != `{"a":1}` || out.StatusCode != 200 || *out.ExecutedVersion != "$LATEST" || out.FunctionError != nil || out.LogResult == nil {
		t.Errorf("invoked: %+v", out)
	}

	if _, err := g.DeleteFunction(ctx, &lambda.DeleteFunctionInput{FunctionName: aws.String("f")}); err != nil {
		t.Fatal(err)
	}
	_, err = g.GetFunction(ctx, &lambda.GetFunctionInput{FunctionName: aws.String("f")})
	refused(t, err, "ResourceNotFoundException", "Function not found: "+prefix+"f")
	_, err = g.Invoke(ctx, &lambda.InvokeInput{FunctionName: aws.String("f")})
	refused(t, err, "ResourceNotFoundException", "Function not found: "+prefix+"f:$LATEST")
}

func TestValidation(t *testing.T) {
	const one = "1 validation error detected: "
	tests := map[string]struct {
		change  []any
		code    string
		message string
	}{
		"memory, low":       {[]any{"MemorySize", 127}, "ValidationException", one + "Value '127' at 'memorySize' failed to satisfy constraint: Member must have value greater than or equal to 128"},
		"memory, high":      {[]any{"MemorySize", 10241}, "ValidationException", one + "Value '10241' at 'memorySize' failed to satisfy constraint: Member must have value less than or equal to 10240"},
		"timeout, low":      {[]any{"Timeout", 0}, "ValidationException", one + "Value '0' at 'timeout' failed to satisfy constraint: Member must have value greater than or equal to 1"},
		"timeout, high":     {[]any{"Timeout", 901}, "ValidationException", one + "Value '901' at 'timeout' failed to satisfy constraint: Member must have value less than or equal to 900"},
		"tmp":               {[]any{"EphemeralStorage", object{"Size": 511}}, "ValidationException", one + "Value '511' at 'ephemeralStorage.size' failed to satisfy constraint: Member must have value greater than or equal to 512"},
		"handler":           {[]any{"Handler", "a b"}, "ValidationException", one + `Value 'a b' at 'handler' failed to satisfy constraint: Member must satisfy regular expression pattern: [^\s]+`},
		"two at once":       {[]any{"Timeout", 0, "MemorySize", 1}, "ValidationException", "2 validation errors detected: Value '1' at 'memorySize' failed to satisfy constraint: Member must have value greater than or equal to 128; Value '0' at 'timeout' failed to satisfy constraint: Member must have value greater than or equal to 1"},
		"no role":           {[]any{"Role", nil}, "ValidationException", one + "Value null at 'role' failed to satisfy constraint: Member must not be null"},
		"package type":      {[]any{"PackageType", "Tar"}, "ValidationException", one + "Value 'Tar' at 'packageType' failed to satisfy constraint: Member must satisfy enum value set: [Image, Zip]"},
		"variable":          {[]any{"Environment", object{"Variables": object{"1A": "x"}}}, "ValidationException", one + "Value '{1A=x}' at 'environment.variables' failed to satisfy constraint: Map keys must satisfy constraint: [Member must satisfy regular expression pattern: [a-zA-Z]([a-zA-Z0-9_])+]"},
		"reserved variable": {[]any{"Environment", object{"Variables": object{"AWS_REGION": "x"}}}, "InvalidParameterValueException", "Lambda was unable to configure your environment variables because the environment variables you have provided contains reserved keys that are currently not supported for modification. Reserved keys used in this request: AWS_REGION"},
		"no handler":        {[]any{"Handler", nil}, "InvalidParameterValueException", "Runtime and Handler are mandatory parameters for functions created with deployment packages."},
		"no code":           {[]any{"Code", object{}}, "InvalidParameterValueException", "Please provide a source for function code."},
		"image":             {[]any{"PackageType", "Image", "Code", object{"ImageUri": "x"}}, "InvalidParameterValueException", "Container images are not supported here: give the code as a zip file, with PackageType Zip."},
		"layers":            {[]any{"Layers", []string{"arn:aws:lambda:eu-central-1:1:layer:l:1"}}, "InvalidParameterValueException", "Layer version arn:aws:lambda:eu-central-1:1:layer:l:1 does not exist."},
		"missing runtime":   {[]any{"Runtime", "ruby3.4"}, "InvalidParameterValueException", "The runtime ruby3.4 cannot run here: no interpreter for ruby3.4 is installed"},
		"architecture":      {[]any{"Architectures", []string{"arm64"}}, "InvalidParameterValueException", "The architecture arm64 cannot run here: this server has x86_64."},
		"dead letters":      {[]any{"DeadLetterConfig", object{"TargetArn": "arn:aws:sqs:eu-central-1:1:q"}}, "InvalidParameterValueException", "DeadLetterConfig is not supported here. Leave it out."},
		"not a number":      {[]any{"Timeout", "ten"}, "InvalidRequestContentException", "Could not parse request body into json: Timeout must be of type int, not string"},
	}
	g := newRig(t, func(o *frontend.Options) { o.Architectures = []string{"x86_64"} })
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			_, h, body := g.raw("POST", functions, def(t, "f", tt.change...))
			var parsed struct{ Message string }
			if err := json.Unmarshal(body, &parsed); err != nil {
				t.Fatal(err)
			}
			if h.Get("X-Amzn-Errortype") != tt.code || parsed.Message != tt.message {
				t.Errorf("got  %s: %s\nwant %s: %s", h.Get("X-Amzn-Errortype"), parsed.Message, tt.code, tt.message)
			}
		})
	}
	if len(g.store.names(t))+g.store.packages(t) > 0 {
		t.Error("something is left in the store")
	}
	if _, err := g.CreateFunction(t.Context(), creation(t, "f")); err != nil {
		t.Fatal(err)
	}
	_, err := g.CreateFunction(t.Context(), creation(t, "f"))
	refused(t, err, "ResourceConflictException", "Function already exist: f")
}

func TestListsInPages(t *testing.T) {
	g := newRig(t)
	var want, all []string
	for i := range 7 {
		name := fmt.Sprintf("f%d", i)
		g.deploy(name, func(in *lambda.CreateFunctionInput) { in.Publish = true })
		want = append(want, name)
		all = append(all, name+":$LATEST", name+":1")
	}
	var got []string
	pages := lambda.NewListFunctionsPaginator(g.Client, &lambda.ListFunctionsInput{MaxItems: aws.Int32(3)})
	for pages.HasMorePages() {
		page, err := pages.NextPage(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if len(page.Functions) > 3 {
			t.Errorf("%d on a page", len(page.Functions))
		}
		for _, f := range page.Functions {
			got = append(got, *f.FunctionName)
		}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	for _, size := range []int32{1, 2, 3, 5, 50} {
		got = nil
		pages = lambda.NewListFunctionsPaginator(g.Client, &lambda.ListFunctionsInput{MaxItems: &size, FunctionVersion: types.FunctionVersionAll})
		for pages.HasMorePages() {
			page, err := pages.NextPage(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			for _, f := range page.Functions {
				got = append(got, strings.TrimPrefix(*f.FunctionArn, prefix))
			}
		}
		if diff := cmp.Diff(all, got); diff != "" {
			t.Errorf("%d on a page: %s", size, diff)
		}
	}
	versions := lambda.NewListVersionsByFunctionPaginator(g.Client, &lambda.ListVersionsByFunctionInput{FunctionName: aws.String("f0"), MaxItems: aws.Int32(1)})
	got = nil
	for versions.HasMorePages() {
		page, err := versions.NextPage(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, *page.Versions[0].Version)
	}
	if diff := cmp.Diff([]string{"$LATEST", "1"}, got); diff != "" {
		t.Error(diff)
	}
	_, err := g.ListFunctions(t.Context(), &lambda.ListFunctionsInput{Marker: aws.String("nonsense")})
	refused(t, err, "InvalidParameterValueException", "Invalid Marker: nonsense")
	_, err = g.ListFunctions(t.Context(), &lambda.ListFunctionsInput{MaxItems: aws.Int32(10_001)})
	refused(t, err, "ValidationException", "1 validation error detected: Value '10001' at 'maxItems' failed to satisfy constraint: Member must have value less than or equal to 10000")
}

func TestDryRunOfAnUpdateChangesNothing(t *testing.T) {
	g := newRig(t)
	g.deploy("f")
	before := g.store.latest(t, "f")
	zip := packed(t, "other", "code")
	out, err := g.UpdateFunctionCode(t.Context(), &lambda.UpdateFunctionCodeInput{FunctionName: aws.String("f"), ZipFile: zip, DryRun: true})
	if err != nil {
		t.Fatal(err)
	}
	if *out.CodeSha256 == before.CodeSHA256 {
		t.Error("the answer has the old code")
	}
	after := g.store.latest(t, "f")
	if diff := cmp.Diff(before, after); diff != "" || g.store.packages(t) != 1 {
		t.Errorf("changed: %s", diff)
	}
}

// What an earlier process left Pending or InProgress is finished at the start.
func TestRunFinishesWhatWasLeft(t *testing.T) {
	long := time.Now().Add(-time.Hour)
	left := map[string]thermocline.Function{
		"pending":  {State: thermocline.StatePending, StateReason: "r", StateReasonCode: "c"},
		"updating": {State: thermocline.StateActive, LastUpdate: thermocline.UpdateInProgress},
	}
	g := newRig(t, func(o *frontend.Options) {
		for name, f := range left {
			f.FunctionID = thermocline.FunctionID{Account: account, Name: name, Version: thermocline.Latest}
			f.Revision, f.LastModified = "old", long
			if err := o.Store.Create(t.Context(), &f); err != nil {
				t.Fatal(err)
			}
		}
	})
	for _, name := range []string{"pending", "updating"} {
		g.settled(name)
		c, err := g.GetFunctionConfiguration(t.Context(), &lambda.GetFunctionConfigurationInput{FunctionName: &name})
		if err != nil || c.StateReason != nil || *c.RevisionId == "old" {
			t.Errorf("%s: %+v %v", name, c, err)
		}
	}
}

func TestBrokenStore(t *testing.T) {
	g := newRig(t)
	g.deploy("f")
	g.store.broken.Store(thermocline.Errorf(thermocline.KindUnavailable, "The disk is full."))
	_, err := g.CreateFunction(t.Context(), creation(t, "g"))
	refused(t, err, "ServiceUnavailableException", "The disk is full.")
	_, err = g.UpdateFunctionConfiguration(t.Context(), &lambda.UpdateFunctionConfigurationInput{FunctionName: aws.String("f"), Timeout: aws.Int32(4)})
	refused(t, err, "ServiceUnavailableException", "The disk is full.")
	if _, err := g.Invoke(t.Context(), &lambda.InvokeInput{FunctionName: aws.String("f")}); err != nil {
		t.Errorf("a function that is there cannot be invoked: %v", err)
	}
}

// Below the reserve of the disk an event is not accepted, and not counted.
func TestEventsNeedSpace(t *testing.T) {
	full := atomic.Bool{}
	g := newRig(t, func(o *frontend.Options) {
		o.Writable = func() error {
			if full.Load() {
				return thermocline.Errorf(thermocline.KindUnavailable, "The disk is full.")
			}
			return nil
		}
	})
	g.deploy("f")
	in := &lambda.InvokeInput{FunctionName: aws.String("f"), InvocationType: types.InvocationTypeEvent}
	full.Store(true)
	_, err := g.Invoke(t.Context(), in)
	refused(t, err, "ServiceUnavailableException", "The disk is full.")
	if started, _, _ := g.history.get(); started != 0 || len(g.worker.events) != 0 {
		t.Errorf("%d starts counted, %d events accepted", started, len(g.worker.events))
	}
	full.Store(false)
	if _, err := g.Invoke(t.Context(), in); err != nil || len(g.worker.events) != 1 {
		t.Errorf("with space again: %v", err)
	}
}

func TestDeleteForgets(t *testing.T) {
	g := newRig(t)
	g.deploy("f", func(in *lambda.CreateFunctionInput) { in.Publish = true })
	if _, err := g.DeleteFunction(t.Context(), &lambda.DeleteFunctionInput{FunctionName: aws.String("f")}); err != nil {
		t.Fatal(err)
	}
	want := []thermocline.FunctionID{{Account: account, Name: "f", Version: "$LATEST"}, {Account: account, Name: "f", Version: "1"}}
	if diff := cmp.Diff(want, g.history.forgotten); diff != "" {
		t.Error(diff)
	}
}

func TestNumbersAreNotUsedAgain(t *testing.T) {
	g := newRig(t)
	g.deploy("f", func(in *lambda.CreateFunctionInput) { in.Publish = true })
	if _, err := g.DeleteFunction(t.Context(), &lambda.DeleteFunctionInput{FunctionName: aws.String("f"), Qualifier: aws.String("1")}); err != nil {
		t.Fatal(err)
	}
	v, err := g.PublishVersion(t.Context(), &lambda.PublishVersionInput{FunctionName: aws.String("f")})
	if err != nil || *v.Version != "2" {
		t.Errorf("%+v, %v", v, err)
	}
}
