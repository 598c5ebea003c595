package e2e_test

import (
	"encoding/json"
	"net/http"
	"path/filepath"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/lambda"
	"github.com/aws/aws-sdk-go-v2/service/lambda/types"
	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

// Versions are immutable, aliases share by weight, and history and fleets go by
// version.
func TestVersions(t *testing.T) {
	needsHost(t)
	_, python := runtimes(t)
	data := filepath.Join(t.TempDir(), "data")
	startOn(t, data)
	t.Cleanup(http.DefaultClient.CloseIdleConnections)
	api, ctx := connect(t, data), t.Context()
	says := func(word string) []byte {
		return zipped(t, "app.py", "import os\ndef handler(event, context): return ['"+word+"', context.function_version, os.environ.get('MODE')]\n")
	}
	updated := func() {
		t.Helper()
		w := lambda.NewFunctionUpdatedV2Waiter(api, func(o *lambda.FunctionUpdatedV2WaiterOptions) {
			o.MinDelay, o.MaxDelay = 25*time.Millisecond, time.Second
		})
		if err := w.Wait(ctx, &lambda.GetFunctionInput{FunctionName: aws.String("f")}, 20*time.Second); err != nil {
			t.Fatal(err)
		}
	}
	invoke := func(qualifier, want string) string {
		t.Helper()
		out, err := api.Invoke(ctx, &lambda.InvokeInput{FunctionName: aws.String("f"), Qualifier: &qualifier})
		if err != nil {
			t.Fatal(err)
		}
		if want != "" && string(out.Payload) != want {
			t.Errorf("%s: %s, want %s", qualifier, out.Payload, want)
		}
		return aws.ToString(out.ExecutedVersion)
	}
	create(t, api, creating("f", python, says("one")))
	if v, err := api.PublishVersion(ctx, &lambda.PublishVersionInput{FunctionName: aws.String("f")}); err != nil || *v.Version != "1" {
		t.Fatalf("%+v, %v", v, err)
	}
	first, err := api.GetFunctionConfiguration(ctx, &lambda.GetFunctionConfigurationInput{FunctionName: aws.String("f:1")})
	if err != nil {
		t.Fatal(err)
	}
	invoke("1", `["one", "1", null]`)

	// Whatever becomes of the function, the version stays.
	if _, err := api.UpdateFunctionConfiguration(ctx, &lambda.UpdateFunctionConfigurationInput{
		FunctionName: aws.String("f"), MemorySize: aws.Int32(256), Environment: &types.Environment{Variables: map[string]string{"MODE": "new"}},
	}); err != nil {
		t.Fatal(err)
	}
	updated()
	if _, err := api.UpdateFunctionCode(ctx, &lambda.UpdateFunctionCodeInput{FunctionName: aws.String("f"), ZipFile: says("two"), Publish: true}); err != nil {
		t.Fatal(err)
	}
	updated()
	after, err := api.GetFunctionConfiguration(ctx, &lambda.GetFunctionConfigurationInput{FunctionName: aws.String("f:1")})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(first, after, cmpopts.IgnoreUnexported(lambda.GetFunctionConfigurationOutput{}, types.EphemeralStorage{}, types.LoggingConfig{}, types.RuntimeVersionConfig{}, types.SnapStartResponse{}, types.TracingConfigResponse{}),
		cmpopts.IgnoreFields(lambda.GetFunctionConfigurationOutput{}, "ResultMetadata")); diff != "" {
		t.Error(diff)
	}
	invoke("1", `["one", "1", null]`)
	invoke("2", `["two", "2", "new"]`)
	invoke("$LATEST", `["two", "$LATEST", "new"]`)

	// A tenth of an alias' invocations.
	if _, err := api.CreateAlias(ctx, &lambda.CreateAliasInput{FunctionName: aws.String("f"), Name: aws.String("live"), FunctionVersion: aws.String("1"),
		RoutingConfig: &types.AliasRoutingConfiguration{AdditionalVersionWeights: map[string]float64{"2": 0.1}}}); err != nil {
		t.Fatal(err)
	}
	const calls = 400
	ran := map[string]int{}
	for range calls {
		ran[invoke("live", "")]++
	}
	t.Logf("of %d invocations version 1 had %d, version 2 %d", calls, ran["1"], ran["2"])
	// Five standard deviations (of 6) around 40: by chance once in two million.
	if ran["1"]+ran["2"] != calls || ran["2"] < 10 || ran["2"] > 70 {
		t.Errorf("ran %v", ran)
	}

	// Each version has a usage of its own.
	total := func(qualifier string) float64 {
		t.Helper()
		exit, out := command(t, nil, "explain", "f", "--qualifier", qualifier, "--json", "--data", data)
		var x struct {
			Function, Fleet string
			Usage           map[string]float64
		}
		if exit != 0 || json.Unmarshal([]byte(out), &x) != nil || x.Fleet == "" {
			t.Fatalf("explain %s: exit code %d: %s", qualifier, exit, out)
		}
		if want := "000000000000/f/" + map[string]string{"live": "1"}[qualifier]; qualifier == "live" && x.Function != want {
			t.Errorf("explained %s, want %s", x.Function, want)
		}
		return x.Usage["total"]
	}
	got := map[string]float64{"$LATEST": total("$LATEST"), "1": total("1"), "2": total("2"), "live": total("live")}
	want := map[string]float64{"$LATEST": 1, "1": float64(ran["1"] + 2), "2": float64(ran["2"] + 1), "live": float64(ran["1"] + 2)}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if exit, out := command(t, nil, "explain", "f", "--qualifier", "9", "--data", data); exit != 5 {
		t.Errorf("a version that is not there: exit code %d: %s", exit, out)
	}
}
