package frontend_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/middleware"
	"github.com/aws/aws-sdk-go-v2/service/lambda"
	"github.com/aws/aws-sdk-go-v2/service/lambda/types"
	"github.com/google/go-cmp/cmp"

	"thermocline"
	"thermocline/frontend"
)

func TestWhatAnInvocationCarries(t *testing.T) {
	g := newRig(t)
	g.deploy("f")
	before := time.Now()
	clientContext := base64.StdEncoding.EncodeToString([]byte(`{"custom":{"a":"b"}}`))
	out, err := g.Invoke(t.Context(), &lambda.InvokeInput{FunctionName: aws.String(account + ":function:f"), Qualifier: aws.String("$LATEST"), ClientContext: &clientContext, Payload: []byte(`[1]`)})
	if err != nil {
		t.Fatal(err)
	}
	inv := g.worker.last()
	want := thermocline.Invocation{
		RequestID: inv.RequestID, Function: thermocline.FunctionID{Account: account, Name: "f", Version: "$LATEST"}, Generation: inv.Generation,
		ARN: prefix + "f:$LATEST", Type: thermocline.RequestResponse, Payload: []byte(`[1]`), ClientContext: clientContext, TraceID: inv.TraceID,
		Fleet: "low-volume", Received: inv.Received, StartBy: inv.Received.Add(10 * time.Second), Attempt: 1,
	}
	if diff := cmp.Diff(want, *inv); diff != "" {
		t.Error(diff)
	}
	if id, ok := middleware.GetRequestIDMetadata(out.ResultMetadata); !ok || id != inv.RequestID || inv.Generation == 0 || inv.Received.Before(before) || !strings.HasPrefix(inv.TraceID, "Root=1-") {
		t.Errorf("invocation %+v", inv)
	}
	if started, finished, cancelled := g.history.get(); started != 1 || finished != 1 || cancelled != 0 {
		t.Errorf("history has %d starts, %d ends, %d cancelled", started, finished, cancelled)
	}
	// Without a qualifier the ARN has none, and an empty payload is an object.
	if _, err := g.Invoke(t.Context(), &lambda.InvokeInput{FunctionName: aws.String("f")}); err != nil {
		t.Fatal(err)
	}
	if inv := g.worker.last(); inv.ARN != prefix+"f" || string(inv.Payload) != "{}" {
		t.Errorf("invocation %+v", inv)
	}
}

func TestInvocationTypes(t *testing.T) {
	g := newRig(t)
	g.deploy("f")
	out, err := g.Invoke(t.Context(), &lambda.InvokeInput{FunctionName: aws.String("f"), InvocationType: types.InvocationTypeEvent, Payload: []byte(`{"a":1}`)})
	if err != nil || out.StatusCode != 202 || len(out.Payload) != 0 || out.ExecutedVersion != nil {
		t.Errorf("event: %+v, %v", out, err)
	}
	if e := g.worker.events; len(e) != 1 || e[0].Type != thermocline.Event || e[0].Generation != 0 || !e[0].StartBy.IsZero() || string(e[0].Payload) != `{"a":1}` {
		t.Errorf("events %+v", e)
	}
	out, err = g.Invoke(t.Context(), &lambda.InvokeInput{FunctionName: aws.String("f"), InvocationType: types.InvocationTypeDryRun})
	if err != nil || out.StatusCode != 204 || len(g.worker.seen) != 0 {
		t.Errorf("dry run: %+v, %v", out, err)
	}
	_, err = g.Invoke(t.Context(), &lambda.InvokeInput{FunctionName: aws.String("f"), InvocationType: "Later"})
	refused(t, err, "ValidationException", "1 validation error detected: Value 'Later' at 'invocationType' failed to satisfy constraint: Member must satisfy enum value set: [Event, RequestResponse, DryRun]")
}

func TestFunctionErrorsAreResults(t *testing.T) {
	g := newRig(t)
	g.deploy("f")
	g.worker.does(func(_ context.Context, inv *thermocline.Invocation) (*thermocline.Result, error) {
		return &thermocline.Result{Payload: []byte(`{"errorType":"E"}`), FunctionError: "Unhandled", ExecutedVersion: "$LATEST"}, nil
	})
	out, err := g.Invoke(t.Context(), &lambda.InvokeInput{FunctionName: aws.String("f")})
	if err != nil || out.StatusCode != 200 || aws.ToString(out.FunctionError) != "Unhandled" || string(out.Payload) != `{"errorType":"E"}` || out.LogResult != nil {
		t.Errorf("%+v, %v", out, err)
	}
}

func TestPayloads(t *testing.T) {
	g := newRig(t)
	g.deploy("f")
	quoted := func(n int) []byte { return []byte(`"` + strings.Repeat("x", n-2) + `"`) }
	t.Run("largest", func(t *testing.T) {
		out, err := g.Invoke(t.Context(), &lambda.InvokeInput{FunctionName: aws.String("f"), Payload: quoted(6 << 20)})
		if err != nil || len(out.Payload) != 6<<20 {
			t.Errorf("%v", err)
		}
	})
	t.Run("too large", func(t *testing.T) {
		_, err := g.Invoke(t.Context(), &lambda.InvokeInput{FunctionName: aws.String("f"), Payload: quoted(6<<20 + 1)})
		refused(t, err, "RequestTooLargeException", "6291457 byte payload is too large for the RequestResponse invocation type (limit 6291456 bytes)")
		var typed *types.RequestTooLargeException
		if !errors.As(err, &typed) {
			t.Errorf("the SDK does not know %v", err)
		}
	})
	t.Run("much too large", func(t *testing.T) {
		_, err := g.Invoke(t.Context(), &lambda.InvokeInput{FunctionName: aws.String("f"), Payload: quoted(20 << 20)})
		refused(t, err, "RequestTooLargeException", "20971520 byte payload is too large for the RequestResponse invocation type (limit 6291456 bytes)")
	})
	t.Run("event too large", func(t *testing.T) {
		_, err := g.Invoke(t.Context(), &lambda.InvokeInput{FunctionName: aws.String("f"), InvocationType: types.InvocationTypeEvent, Payload: quoted(1<<20 + 1)})
		refused(t, err, "RequestTooLargeException", "1048577 byte payload is too large for the Event invocation type (limit 1048576 bytes)")
	})
	const why = "Could not parse request body into json: Could not parse payload into json: "
	const source = "\n at [Source: REDACTED (`StreamReadFeature.INCLUDE_SOURCE_IN_LOCATION` disabled); line: "
	for payload, want := range map[string]string{
		"hello":        "Unrecognized token 'hello': was expecting (JSON String, Number, Array, Object or token 'null', 'true' or 'false')" + source + "1, column: 6]",
		`{"a":`:        "Unexpected end-of-input" + source + "1, column: 6]",
		"[1,\n  ?]":    "Unexpected character ('?' (code 63)): expected a valid value (JSON String, Number, Array, Object or token 'null', 'true' or 'false')" + source + "2, column: 3]",
		"{\"a\":\xff}": "",
	} {
		_, err := g.Invoke(t.Context(), &lambda.InvokeInput{FunctionName: aws.String("f"), Payload: []byte(payload)})
		if want == "" {
			var typed *types.InvalidRequestContentException
			if !errors.As(err, &typed) {
				t.Errorf("%q: %v", payload, err)
			}
			continue
		}
		refused(t, err, "InvalidRequestContentException", why+want)
	}
	bad := "not base64"
	_, err := g.Invoke(t.Context(), &lambda.InvokeInput{FunctionName: aws.String("f"), ClientContext: &bad})
	refused(t, err, "InvalidRequestContentException", "Client context must be a valid Base64-encoded JSON object.")
}

func TestConcurrencyIsBounded(t *testing.T) {
	g := newRig(t, func(o *frontend.Options) { o.Concurrency = frontend.NewConcurrency(o.Store, 102) })
	g.deploy("plain")
	g.deploy("reserved")
	if _, err := g.PutFunctionConcurrency(t.Context(), &lambda.PutFunctionConcurrencyInput{FunctionName: aws.String("reserved"), ReservedConcurrentExecutions: aws.Int32(1)}); err != nil {
		t.Fatal(err)
	}
	_, err := g.PutFunctionConcurrency(t.Context(), &lambda.PutFunctionConcurrencyInput{FunctionName: aws.String("plain"), ReservedConcurrentExecutions: aws.Int32(2)})
	refused(t, err, "InvalidParameterValueException", "Specified ReservedConcurrentExecutions for function decreases account's UnreservedConcurrentExecution below its minimum value of [100].")

	entered, leave := make(chan struct{}), make(chan struct{})
	g.worker.does(func(ctx context.Context, inv *thermocline.Invocation) (*thermocline.Result, error) {
		entered <- struct{}{}
		<-leave
		return echo(ctx, inv)
	})
	var all sync.WaitGroup
	start := func(name string) {
		all.Go(func() {
			if _, err := g.Invoke(context.Background(), &lambda.InvokeInput{FunctionName: &name}); err != nil {
				t.Errorf("%s: %v", name, err)
			}
		})
		<-entered
	}
	start("reserved")
	for range 101 { // 102 less the reserved one
		start("plain")
	}
	for name, reason := range map[string]types.ThrottleReason{
		"reserved": types.ThrottleReasonReservedFunctionConcurrentInvocationLimitExceeded,
		"plain":    types.ThrottleReasonConcurrentInvocationLimitExceeded,
	} {
		_, err := g.Invoke(t.Context(), &lambda.InvokeInput{FunctionName: &name})
		var typed *types.TooManyRequestsException
		if !errors.As(err, &typed) || typed.Reason != reason || aws.ToString(typed.RetryAfterSeconds) != "1" || aws.ToString(typed.Message) != "Rate Exceeded." {
			t.Errorf("%s: %+v", name, err)
		}
	}
	close(leave)
	all.Wait()
	g.worker.does(echo)
	for _, name := range []string{"plain", "reserved"} {
		if _, err := g.Invoke(t.Context(), &lambda.InvokeInput{FunctionName: &name}); err != nil {
			t.Errorf("%s afterwards: %v", name, err)
		}
	}
}

// The function finishes although its caller is gone, and holds its place until
// then.
func TestCallerGoesAway(t *testing.T) {
	g := newRig(t)
	g.deploy("f")
	entered, leave, ended := make(chan struct{}), make(chan struct{}), make(chan error, 1)
	g.worker.does(func(ctx context.Context, inv *thermocline.Invocation) (*thermocline.Result, error) {
		close(entered)
		<-leave
		ended <- ctx.Err()
		return echo(ctx, inv)
	})
	ctx, cancel := context.WithCancel(t.Context())
	gone := make(chan error, 1)
	go func() {
		_, err := g.Invoke(ctx, &lambda.InvokeInput{FunctionName: aws.String("f")})
		gone <- err
	}()
	<-entered
	cancel()
	if err := <-gone; err == nil {
		t.Error("the caller got an answer")
	}
	close(leave)
	if err := <-ended; err != nil {
		t.Errorf("the function was cancelled with its caller: %v", err)
	}
}

func TestDispatchErrors(t *testing.T) {
	g := newRig(t)
	g.deploy("f")
	tests := map[string]struct {
		err     error
		status  int
		code    string
		message string
		ran     bool
	}{
		"throttled":        {&thermocline.Error{Kind: thermocline.KindThrottled, Reason: thermocline.ReasonConcurrent, Message: "Rate Exceeded."}, 429, "TooManyRequestsException", "Rate Exceeded.", false},
		"unavailable":      {thermocline.Errorf(thermocline.KindUnavailable, "Nobody took it."), 503, "ServiceUnavailableException", "Nobody took it.", false},
		"possibly started": {thermocline.Errorf(thermocline.KindPossiblyStarted, "It may have run."), 500, "ServiceException", "It may have run.", true},
		"internal":         {errors.New("secret details"), 500, "ServiceException", "An error occurred and the request cannot be processed.", true},
		"with a cause":     {thermocline.WithCause(thermocline.KindInternal, errors.New("secret details"), "Something broke."), 500, "ServiceException", "Something broke.", true},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			g.worker.does(func(context.Context, *thermocline.Invocation) (*thermocline.Result, error) { return nil, tt.err })
			_, finished, cancelled := g.history.get()
			status, h, body := g.raw("POST", fn("f", "/invocations"), nil)
			var parsed struct{ Message string }
			if err := json.Unmarshal(body, &parsed); err != nil {
				t.Fatal(err)
			}
			if status != tt.status || h.Get("X-Amzn-Errortype") != tt.code || parsed.Message != tt.message || bytes.Contains(body, []byte("secret")) || h.Get("X-Amzn-RequestId") == "" {
				t.Errorf("%d %s %s", status, h.Get("X-Amzn-Errortype"), body)
			}
			_, f, c := g.history.get()
			if ran := f > finished; ran != tt.ran || c > cancelled == tt.ran {
				t.Errorf("history has %d more ends, %d more cancelled", f-finished, c-cancelled)
			}
		})
	}
}

func TestInvokeOfAPendingFunctionDoesNotWait(t *testing.T) {
	g := newRig(t, func(o *frontend.Options) { o.Limits.Settle = time.Hour })
	if _, err := g.CreateFunction(t.Context(), creation(t, "f")); err != nil {
		t.Fatal(err)
	}
	_, err := g.UpdateFunctionConfiguration(t.Context(), &lambda.UpdateFunctionConfigurationInput{FunctionName: aws.String("f"), Timeout: aws.Int32(9)})
	refused(t, err, "ResourceConflictException", "The operation cannot be performed at this time. The function is currently in the following state: Pending")
	if _, err := g.Invoke(t.Context(), &lambda.InvokeInput{FunctionName: aws.String("f")}); err != nil {
		t.Fatal(err)
	}
	c, err := g.GetFunctionConfiguration(t.Context(), &lambda.GetFunctionConfigurationInput{FunctionName: aws.String("f")})
	if err != nil || c.State != types.StateActive || c.LastUpdateStatus != types.LastUpdateStatusSuccessful {
		t.Errorf("%+v, %v", c, err)
	}
}

func TestAliasesShareByWeight(t *testing.T) {
	g := newRig(t)
	g.deploy("f", func(in *lambda.CreateFunctionInput) { in.Publish = true })
	if _, err := g.UpdateFunctionConfiguration(t.Context(), &lambda.UpdateFunctionConfigurationInput{FunctionName: aws.String("f"), Timeout: aws.Int32(9)}); err != nil {
		t.Fatal(err)
	}
	g.settled("f")
	if _, err := g.PublishVersion(t.Context(), &lambda.PublishVersionInput{FunctionName: aws.String("f")}); err != nil {
		t.Fatal(err)
	}
	if _, err := g.CreateAlias(t.Context(), &lambda.CreateAliasInput{FunctionName: aws.String("f"), Name: aws.String("live"), FunctionVersion: aws.String("1"),
		RoutingConfig: &types.AliasRoutingConfiguration{AdditionalVersionWeights: map[string]float64{"2": 0.1}}}); err != nil {
		t.Fatal(err)
	}
	ran := map[string]int{}
	const calls = 500
	for range calls {
		out, err := g.Invoke(t.Context(), &lambda.InvokeInput{FunctionName: aws.String("f"), Qualifier: aws.String("live")})
		if err != nil {
			t.Fatal(err)
		}
		ran[*out.ExecutedVersion]++
	}
	// A tenth, give or take five standard deviations.
	if ran["1"]+ran["2"] != calls || ran["2"] < 17 || ran["2"] > 83 {
		t.Errorf("ran %v", ran)
	}
	if arn := g.worker.last().ARN; arn != prefix+"f:live" {
		t.Errorf("the function is told %s", arn)
	}
	_, err := g.DeleteFunction(t.Context(), &lambda.DeleteFunctionInput{FunctionName: aws.String("f"), Qualifier: aws.String("2")})
	var conflict *types.ResourceConflictException
	if !errors.As(err, &conflict) {
		t.Errorf("a version that an alias needs was deleted: %v", err)
	}
}

func TestKeysAndScopes(t *testing.T) {
	g := newRig(t)
	g.deploy("f")
	invoker := g.client(invokeKey)
	if _, err := invoker.Invoke(t.Context(), &lambda.InvokeInput{FunctionName: aws.String("f")}); err != nil {
		t.Errorf("a key with the scope invoke may not invoke: %v", err)
	}
	_, err := invoker.GetFunction(t.Context(), &lambda.GetFunctionInput{FunctionName: aws.String("f")})
	refused(t, err, "AccessDeniedException", "User: arn:aws:iam::"+account+":user/"+invokeKey+" is not authorized to perform: lambda:GetFunction on resource: "+prefix+"f because no identity-based policy allows the lambda:GetFunction action")

	other := g.client(otherKey)
	_, err = other.Invoke(t.Context(), &lambda.InvokeInput{FunctionName: aws.String("f")})
	refused(t, err, "ResourceNotFoundException", "Function not found: arn:aws:lambda:"+region+":222222222222:function:f:$LATEST")
	_, err = other.Invoke(t.Context(), &lambda.InvokeInput{FunctionName: aws.String(prefix + "f")})
	refused(t, err, "AccessDeniedException", "User: arn:aws:iam::222222222222:user/"+otherKey+" is not authorized to perform: lambda:InvokeFunction on resource: "+prefix+"f because no resource-based policy allows the lambda:InvokeFunction action")

	_, err = g.client("AKIDNOBODY").GetFunction(t.Context(), &lambda.GetFunctionInput{FunctionName: aws.String("f")})
	refused(t, err, "UnrecognizedClientException", "The security token included in the request is invalid.")
	key, err := g.store.Key(t.Context(), adminKey)
	if err != nil {
		t.Fatal(err)
	}
	key.Revoked = true
	if err := g.store.PutKey(t.Context(), key); err != nil {
		t.Fatal(err)
	}
	_, err = g.GetFunction(t.Context(), &lambda.GetFunctionInput{FunctionName: aws.String("f")})
	refused(t, err, "UnrecognizedClientException", "The security token included in the request is invalid.")

	response, err := http.Get(g.url + "/2015-03-31/functions/")
	if err != nil {
		t.Fatal(err)
	}
	response.Body.Close()
	if response.StatusCode != 403 || response.Header.Get("X-Amzn-Errortype") != "MissingAuthenticationTokenException" {
		t.Errorf("unsigned: %s %s", response.Status, response.Header.Get("X-Amzn-Errortype"))
	}
}
