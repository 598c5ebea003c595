package frontend_test

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/lambda"
	"github.com/aws/aws-sdk-go-v2/service/lambda/types"
	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"thermocline"
	"thermocline/client"
	"thermocline/frontend"
	"thermocline/store"
	"thermocline/store/storetest"
)

const tenant = "222222222222"

// ownAs is a client of Thermocline's own API with a key.
func (g *rig) ownAs(id, keySecret string) *client.Client {
	g.t.Helper()
	c, err := client.New(client.Options{Endpoint: g.url, Region: region, AccessKeyID: id, SecretAccessKey: keySecret, HTTP: http.DefaultClient})
	if err != nil {
		g.t.Fatal(err)
	}
	return c
}

// lambdaAs is an SDK client with a key pair.
func (g *rig) lambdaAs(k client.Key) *lambda.Client {
	return g.client(k.ID, func(o *lambda.Options) {
		o.Credentials = credentials.NewStaticCredentialsProvider(k.ID, k.Secret, "")
	})
}

func refusedAs(t *testing.T, err error, kind thermocline.Kind, text string) {
	t.Helper()
	if err == nil || thermocline.KindOf(err) != kind || !strings.Contains(err.Error(), text) {
		t.Errorf("got %v, want kind %d with %q", err, kind, text)
	}
}

func TestLifeOfAnAccount(t *testing.T) {
	g := newRig(t)
	ctx, operator := t.Context(), g.own()
	name, limit := "blue", 150
	a, err := operator.CreateAccount(ctx, client.AccountChange{Name: &name, Concurrency: &limit})
	if err != nil {
		t.Fatal(err)
	}
	if len(a.ID) != 12 || a.ID[0] == '0' || a.Name != name || a.Concurrency != limit || a.Operator || a.Created.IsZero() {
		t.Errorf("created %+v", a)
	}
	k, err := operator.CreateKey(ctx, a.ID, "admin")
	if err != nil || k.Secret == "" || k.Account != a.ID {
		t.Fatalf("%+v, %v", k, err)
	}
	// The account's own functions, in its own ARNs.
	api, own := g.lambdaAs(k), g.ownAs(k.ID, k.Secret)
	created, err := api.CreateFunction(ctx, creation(t, "f"))
	if err != nil {
		t.Fatal(err)
	}
	if want := "arn:aws:lambda:" + region + ":" + a.ID + ":function:f"; *created.FunctionArn != want {
		t.Errorf("ARN %s, want %s", *created.FunctionArn, want)
	}
	if len(g.store.names(t)) != 0 {
		t.Error("the operator's account has a function of the other's")
	}
	settings, err := api.GetAccountSettings(ctx, &lambda.GetAccountSettingsInput{})
	if err != nil || settings.AccountLimit.ConcurrentExecutions != 150 || settings.AccountUsage.FunctionCount != 1 {
		t.Errorf("%+v, %v", settings, err)
	}

	// It sees itself and nothing else.
	accounts, err := own.Accounts(ctx)
	if err != nil || len(accounts) != 1 || accounts[0].ID != a.ID || accounts[0].Functions != 1 {
		t.Errorf("%+v, %v", accounts, err)
	}
	if all, err := operator.Accounts(ctx); err != nil || len(all) != 3 {
		t.Errorf("%+v, %v", all, err)
	}
	const denied = "because no identity-based policy allows the thermocline:"
	_, err = own.Account(ctx, account)
	refusedAs(t, err, thermocline.KindAccessDenied, denied+"GetAccount action")
	_, err = own.Account(ctx, "999999999999") // does not tell whether it exists
	refusedAs(t, err, thermocline.KindAccessDenied, denied)
	_, err = own.CreateAccount(ctx, client.AccountChange{Name: &name})
	refusedAs(t, err, thermocline.KindAccessDenied, denied+"CreateAccount action")
	_, err = own.UpdateAccount(ctx, client.Self, client.AccountChange{Concurrency: &limit})
	refusedAs(t, err, thermocline.KindAccessDenied, denied+"UpdateAccount action")
	refusedAs(t, own.DeleteAccount(ctx, client.Self, true), thermocline.KindAccessDenied, denied+"DeleteAccount action")
	_, err = own.Keys(ctx, account)
	refusedAs(t, err, thermocline.KindAccessDenied, denied+"ListKeys action")
	_, err = own.CreateKey(ctx, account, "admin")
	refusedAs(t, err, thermocline.KindAccessDenied, denied+"CreateKey action")
	_, err = own.RevokeKey(ctx, account, adminKey)
	refusedAs(t, err, thermocline.KindAccessDenied, denied+"RevokeKey action")
	fleets, err := own.Fleets(ctx)
	if err != nil || len(fleets) != 2 || fleets[1].Queued != nil || fleets[1].Managers != nil || fleets[1].Functions != 0 || fleets[1].Rate != 0 {
		t.Errorf("a tenant's fleets: %+v, %v", fleets, err)
	}

	// The functions keep the account, unless they are to go too.
	refusedAs(t, operator.DeleteAccount(ctx, a.ID, false), thermocline.KindConflict, "has functions")
	if _, err := api.GetFunction(ctx, &lambda.GetFunctionInput{FunctionName: aws.String("f")}); err != nil {
		t.Errorf("after a refused deletion: %v", err)
	}
	if err := operator.DeleteAccount(ctx, a.ID, true); err != nil {
		t.Fatal(err)
	}
	_, err = api.GetFunction(ctx, &lambda.GetFunctionInput{FunctionName: aws.String("f")})
	refused(t, err, "UnrecognizedClientException", "The security token included in the request is invalid.")
	_, err = operator.Account(ctx, a.ID)
	refusedAs(t, err, thermocline.KindNotFound, "There is no account "+a.ID)
	refusedAs(t, operator.DeleteAccount(ctx, a.ID, true), thermocline.KindNotFound, "There is no account")
	if fs, _, _ := g.store.List(ctx, a.ID, "", 10); len(fs) != 0 {
		t.Errorf("%d functions are left", len(fs))
	}
	refusedAs(t, operator.DeleteAccount(ctx, account, true), thermocline.KindConflict, "the operator's")

	// An account of the same id starts anew.
	if _, err := operator.CreateAccount(ctx, client.AccountChange{ID: a.ID, Name: &name}); err != nil {
		t.Fatal(err)
	}
	if keys, err := operator.Keys(ctx, a.ID); err != nil || len(keys) != 0 {
		t.Errorf("%+v, %v", keys, err)
	}
	_, err = operator.CreateAccount(ctx, client.AccountChange{ID: a.ID, Name: &name})
	refusedAs(t, err, thermocline.KindConflict, "exists already")
}

func TestAccountValidation(t *testing.T) {
	g := newRig(t)
	ctx, own := t.Context(), g.own()
	name, long, odd, many, negative := "n", strings.Repeat("x", 65), "a\x1b[0m", 100_001, -1
	for what, change := range map[string]client.AccountChange{
		"no name": {}, "long": {Name: &long}, "odd": {Name: &odd}, "short id": {ID: "1", Name: &name}, "no digits": {ID: "12345678901x", Name: &name},
		"too many": {Name: &name, Concurrency: &many}, "negative": {Name: &name, Concurrency: &negative},
	} {
		if _, err := own.CreateAccount(ctx, change); !isKind(err, thermocline.KindInvalidParameter) {
			t.Errorf("%s: %v", what, err)
		}
	}
	if all, err := own.Accounts(ctx); err != nil || len(all) != 2 {
		t.Errorf("%+v, %v", all, err)
	}
}

func TestLifeOfAKey(t *testing.T) {
	g := newRig(t)
	g.deploy("f")
	ctx, own := t.Context(), g.own()
	k, err := own.CreateKey(ctx, client.Self, "invoke")
	if err != nil {
		t.Fatal(err)
	}
	invoke := func(k client.Key) error {
		_, err := g.lambdaAs(k).Invoke(ctx, &lambda.InvokeInput{FunctionName: aws.String("f")})
		return err
	}
	if err := invoke(k); err != nil {
		t.Error(err)
	}
	keys, err := own.Keys(ctx, account)
	if err != nil {
		t.Fatal(err)
	}
	want := k
	want.Secret = "" // shown once
	if diff := cmp.Diff(want, keys[len(keys)-1], cmpopts.EquateApproxTime(time.Microsecond)); diff != "" {
		t.Error(diff)
	}
	for range 2 {
		if r, err := own.RevokeKey(ctx, client.Self, k.ID); err != nil || !r.Revoked {
			t.Errorf("%+v, %v", r, err)
		}
	}
	refused(t, invoke(k), "UnrecognizedClientException", "The security token included in the request is invalid.")

	// A pair that was made elsewhere.
	imported, err := own.ImportKey(ctx, tenant, "admin", "test", "test")
	if err != nil || imported.Secret != "" {
		t.Fatalf("%+v, %v", imported, err)
	}
	if _, err := g.lambdaAs(client.Key{ID: "test", Secret: "test"}).ListFunctions(ctx, &lambda.ListFunctionsInput{}); err != nil {
		t.Error(err)
	}
	_, err = own.ImportKey(ctx, account, "admin", "test", "other")
	refusedAs(t, err, thermocline.KindConflict, "exists already")
	_, err = g.ownAs("test", "test").ImportKey(ctx, client.Self, "admin", "mine", "secret")
	refusedAs(t, err, thermocline.KindAccessDenied, "thermocline:CreateKey")
	for what, pair := range map[string][2]string{"a slash": {"a/b", "secret"}, "short": {"ab", "secret"}, "no secret": {"abc", ""}, "a space": {"abc", "a b c"}, "no id": {"", "secret"}} {
		if _, err := own.ImportKey(ctx, client.Self, "admin", pair[0], pair[1]); !isKind(err, thermocline.KindInvalidParameter) {
			t.Errorf("%s: %v", what, err)
		}
	}
	_, err = own.CreateKey(ctx, client.Self, "root")
	refusedAs(t, err, thermocline.KindInvalidParameter, "admin or invoke")
	_, err = own.RevokeKey(ctx, client.Self, "nobody")
	refusedAs(t, err, thermocline.KindNotFound, "There is no access key nobody.")
	_, err = own.RevokeKey(ctx, client.Self, otherKey) // another account's
	refusedAs(t, err, thermocline.KindNotFound, "There is no access key")

	_, err = own.RevokeKey(ctx, client.Self, adminKey)
	refusedAs(t, err, thermocline.KindConflict, "the operator's last admin key")
}

func TestKeysAreBounded(t *testing.T) {
	g := newRig(t)
	ctx, own := t.Context(), g.own()
	var last client.Key
	made := 0
	for ; made < 200; made++ {
		k, err := own.CreateKey(ctx, tenant, "invoke")
		if err != nil {
			refusedAs(t, err, thermocline.KindConflict, "has 100 keys")
			break
		}
		last = k
	}
	if made != 99 { // and the one of the rig
		t.Errorf("%d keys were made", made)
	}
	for range 110 {
		if _, err := own.RevokeKey(ctx, tenant, last.ID); err != nil {
			t.Fatal(err)
		}
		var err error
		if last, err = own.CreateKey(ctx, tenant, "invoke"); err != nil {
			t.Fatal(err)
		}
	}
	if keys, err := own.Keys(ctx, tenant); err != nil || len(keys) > 202 {
		t.Errorf("%d keys are remembered, %v", len(keys), err)
	}
}

// A key of the scope invoke may call Invoke and nothing else, whatever there is.
func TestInvokeKeysInvoke(t *testing.T) {
	g := newRig(t)
	g.deploy("f")
	before := g.store.latest(t, "f")
	refusals := 0
	for op, allowed := range frontend.Operations() {
		method, pattern, _ := strings.Cut(op, " ")
		target := strings.Replace(pattern, "{}", "f", 1)
		if strings.Contains(pattern, "/tags/") {
			target = strings.Replace(pattern, "{}", prefix+"f", 1)
		}
		target = strings.Replace(target, "{}", "x", 1)
		status, h, body := g.raw(method, target, []byte("{}"), "key", invokeKey)
		if allowed {
			if pattern != "/2015-03-31/functions/{}/invocations" || status != 200 {
				t.Errorf("%s: %d %s", op, status, body)
			}
			continue
		}
		refusals++
		if status != 403 || h.Get("X-Amzn-Errortype") != "AccessDeniedException" ||
			!strings.Contains(string(body), "User: arn:aws:iam::"+account+":user/"+invokeKey+" is not authorized to perform: ") ||
			!strings.Contains(string(body), " because no identity-based policy allows the ") {
			t.Errorf("%s: %d %s %s", op, status, h.Get("X-Amzn-Errortype"), body)
		}
	}
	if refusals < 30 {
		t.Errorf("%d operations refused", refusals)
	}
	if diff := cmp.Diff(before, g.store.latest(t, "f")); diff != "" {
		t.Error(diff)
	}
	_, _, body := g.raw("GET", fn("f", "?Qualifier=$LATEST"), nil, "key", invokeKey)
	if want := "lambda:GetFunction on resource: " + prefix + "f because"; !strings.Contains(string(body), want) {
		t.Errorf("got %s, want %s", body, want)
	}
	_, _, body = g.raw("GET", functions, nil, "key", invokeKey)
	if want := "lambda:ListFunctions on resource: * because"; !strings.Contains(string(body), want) {
		t.Errorf("got %s, want %s", body, want)
	}
}

// Another account's ARN is refused by every operation on functions, a name of
// another account's function is one that does not exist.
func TestOtherAccounts(t *testing.T) {
	g := newRig(t)
	g.deploy("f")
	before := g.store.latest(t, "f")
	for op := range frontend.Operations() {
		method, pattern, _ := strings.Cut(op, " ")
		if !strings.Contains(pattern, "/functions/{}") && !strings.Contains(pattern, "/tags/{}") {
			continue
		}
		for name, code := range map[string]string{prefix + "f": "AccessDeniedException", account + ":function:f": "AccessDeniedException", "f": "ResourceNotFoundException"} {
			if strings.Contains(pattern, "/tags/") && name != prefix+"f" {
				continue // takes ARNs only
			}
			target := strings.Replace(strings.Replace(pattern, "{}", name, 1), "{}", "x", 1)
			body := object{"ReservedConcurrentExecutions": 1, "Tags": object{"a": "b"}, "Name": "a", "FunctionVersion": "1", "UpdateRuntimeOn": "Auto", "RecursiveLoop": "Allow", "ZipFile": packed(t, "a", "")}
			if strings.HasSuffix(pattern, "/invocations") {
				body = nil
			}
			if strings.Contains(pattern, "/tags/") {
				target += "?tagKeys=a"
			}
			status, h, answer := g.raw(method, target, body, "key", otherKey)
			if method == "DELETE" && strings.Contains(pattern, "/aliases/") && name == "f" {
				code = h.Get("X-Amzn-Errortype") // AWS answers 204 for an alias that is not there
			}
			if h.Get("X-Amzn-Errortype") != code {
				t.Errorf("%s of %s: %d %s %s, want %s", op, name, status, h.Get("X-Amzn-Errortype"), answer, code)
			}
		}
	}
	if diff := cmp.Diff(before, g.store.latest(t, "f")); diff != "" {
		t.Error(diff)
	}
}

// A region is a name: the ARNs of an answer have that of the signature.
func TestRegions(t *testing.T) {
	g := newRig(t)
	ctx := t.Context()
	west := g.client(adminKey, func(o *lambda.Options) { o.Region = "eu-west-1" })
	gov := g.client(adminKey, func(o *lambda.Options) { o.Region = "us-gov-west-1" })
	const arn = "arn:aws:lambda:eu-west-1:" + account + ":function:f"
	created, err := west.CreateFunction(ctx, creation(t, "f"))
	if err != nil || *created.FunctionArn != arn || !strings.HasPrefix(*created.RuntimeVersionConfig.RuntimeVersionArn, "arn:aws:lambda:eu-west-1::runtime:") {
		t.Fatalf("%+v, %v", created, err)
	}
	if f := g.store.latest(t, "f"); f.Region != "eu-west-1" {
		t.Errorf("the function is told the region %s", f.Region)
	}
	g.settled("f")
	if _, err := west.Invoke(ctx, &lambda.InvokeInput{FunctionName: aws.String(arn)}); err != nil || g.worker.last().ARN != arn {
		t.Errorf("%v, as %s", err, g.worker.last().ARN)
	}
	// There is one set of functions, seen from everywhere.
	for api, want := range map[*lambda.Client]string{west: arn, g.Client: prefix + "f", gov: "arn:aws-us-gov:lambda:us-gov-west-1:" + account + ":function:f"} {
		got, err := api.GetFunctionConfiguration(ctx, &lambda.GetFunctionConfigurationInput{FunctionName: aws.String("f")})
		if err != nil || *got.FunctionArn != want {
			t.Errorf("%v %v, want %s", err, got, want)
		}
	}
	_, err = west.GetFunction(ctx, &lambda.GetFunctionInput{FunctionName: aws.String(prefix + "f")})
	refused(t, err, "ResourceNotFoundException", "Functions from '"+region+"' are not reachable in this region ('eu-west-1')")
	bad := g.client(adminKey, func(o *lambda.Options) { o.Region = "No.Region" })
	_, err = bad.GetFunction(ctx, &lambda.GetFunctionInput{FunctionName: aws.String("f")})
	refused(t, err, "InvalidSignatureException", "Credential should be scoped to a valid region, not 'No.Region'. ")
}

// cutOff is a store that dies after a number of changes.
type cutOff struct {
	*storetest.Memory
	left atomic.Int64
}

var errDied = errors.New("the process died")

func (c *cutOff) die() error {
	if c.left.Add(-1) < 0 {
		return errDied
	}
	return nil
}

func (c *cutOff) UpdateAccount(ctx context.Context, id string, change func(*store.Account) error) (store.Account, error) {
	if err := c.die(); err != nil {
		return store.Account{}, err
	}
	return c.Memory.UpdateAccount(ctx, id, change)
}

func (c *cutOff) Delete(ctx context.Context, id thermocline.FunctionID) error {
	return errors.Join(c.die(), c.Memory.Delete(ctx, id))
}

func (c *cutOff) DeleteLogs(ctx context.Context, account, function string) error {
	if err := c.die(); err != nil {
		return err
	}
	return c.Memory.DeleteLogs(ctx, account, function)
}

func (c *cutOff) DeleteAccount(ctx context.Context, id string) error {
	if err := c.die(); err != nil {
		return err
	}
	return c.Memory.DeleteAccount(ctx, id)
}

// Wherever the deletion of an account is cut off, it is either not begun, or
// its keys are worth nothing at once and the next start finishes it.
func TestDeletionOfAnAccountIsFinished(t *testing.T) {
	for steps := range int64(6) {
		memory := storetest.NewMemory()
		dying := &cutOff{Memory: memory}
		dying.left.Store(1 << 30)
		g := newRig(t, func(o *frontend.Options) { o.Store = dying })
		ctx := t.Context()
		must := func(err error) {
			t.Helper()
			if err != nil {
				t.Fatal(err)
			}
		}
		must(memory.CreateAccount(ctx, store.Account{ID: account, Operator: true}))
		must(memory.CreateAccount(ctx, store.Account{ID: tenant}))
		for id, of := range map[string]string{adminKey: account, otherKey: tenant} {
			must(memory.PutKey(ctx, store.Key{ID: id, Secret: secret, Account: of, Scope: store.ScopeAdmin}))
		}
		for _, name := range []string{"a", "b"} {
			must(memory.Create(ctx, &thermocline.Function{FunctionID: thermocline.FunctionID{Account: tenant, Name: name, Version: thermocline.Latest}}))
			must(memory.Append(ctx, []thermocline.LogLine{{Account: tenant, Function: name, Text: "line"}}))
		}
		dying.left.Store(steps)
		err := g.own().DeleteAccount(ctx, tenant, true)
		a, accountErr := memory.Account(ctx, tenant)
		_, keyErr := memory.Key(ctx, otherKey)
		switch {
		case steps == 0 && (err == nil || a.Closing != "" || keyErr != nil):
			t.Errorf("not begun: %v, %+v, %v", err, a, keyErr)
		case steps > 0 && keyErr == nil:
			t.Errorf("after %d steps its key still works", steps)
		case steps < 5 && (err == nil || accountErr != nil):
			t.Errorf("after %d steps: %v, %v", steps, err, accountErr)
		case steps == 5 && (err != nil || accountErr == nil):
			t.Errorf("undisturbed: %v, %v", err, accountErr)
		}
		// The next start.
		newRig(t, func(o *frontend.Options) { o.Store = memory })
		eventually(t, func() bool {
			_, err := memory.Account(ctx, tenant)
			return (err != nil) == (steps > 0)
		})
		fs, _, _ := memory.List(ctx, tenant, "", 10)
		lines := 0
		must(memory.Read(ctx, store.LogQuery{Account: tenant, Function: "a"}, func(thermocline.LogLine) error { lines++; return nil }))
		if want := map[bool]int{true: 0, false: 2}[steps > 0]; len(fs) != want || lines*2 != want {
			t.Errorf("after %d steps and a start %d functions and %d lines are there, want %d", steps, len(fs), lines, want)
		}
	}
}

// An account that was to go only if it were empty, and is not, stays.
func TestClosingAccountWithFunctionsStays(t *testing.T) {
	memory := storetest.NewMemory()
	ctx := t.Context()
	_ = memory.CreateAccount(ctx, store.Account{ID: tenant, Closing: store.ClosingEmpty})
	_ = memory.Create(ctx, &thermocline.Function{FunctionID: thermocline.FunctionID{Account: tenant, Name: "f", Version: thermocline.Latest}})
	newRig(t, func(o *frontend.Options) { o.Store = memory })
	eventually(t, func() bool { a, err := memory.Account(ctx, tenant); return err == nil && a.Closing == "" })
}

func eventually(t *testing.T, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); !ok(); {
		if time.Now().After(deadline) {
			t.Fatal("it did not come about")
		}
		time.Sleep(5 * time.Millisecond) // polls a server; nothing to wait on
	}
}

func TestConcurrencyOfAnAccount(t *testing.T) {
	g := newRig(t)
	g.deploy("f")
	ctx, own := t.Context(), g.own()
	set := func(n int) error {
		_, err := own.UpdateAccount(ctx, account, client.AccountChange{Concurrency: &n})
		return err
	}
	if err := set(2); err != nil {
		t.Fatal(err)
	}
	entered, leave, done := make(chan struct{}), make(chan struct{}), make(chan error)
	g.worker.does(func(ctx context.Context, inv *thermocline.Invocation) (*thermocline.Result, error) {
		entered <- struct{}{}
		<-leave
		return echo(ctx, inv)
	})
	for range 2 {
		go func() {
			_, err := g.Invoke(context.Background(), &lambda.InvokeInput{FunctionName: aws.String("f")})
			done <- err
		}()
		<-entered
	}
	_, err := g.Invoke(ctx, &lambda.InvokeInput{FunctionName: aws.String("f")})
	var throttled *types.TooManyRequestsException
	if !errors.As(err, &throttled) || throttled.Reason != types.ThrottleReasonConcurrentInvocationLimitExceeded {
		t.Errorf("%v", err)
	}
	close(leave)
	for range 2 {
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
	put := func(n int32) error {
		_, err := g.PutFunctionConcurrency(ctx, &lambda.PutFunctionConcurrencyInput{FunctionName: aws.String("f"), ReservedConcurrentExecutions: &n})
		return err
	}
	refused(t, put(1), "InvalidParameterValueException", "Specified ReservedConcurrentExecutions for function decreases account's UnreservedConcurrentExecution below its minimum value of [2].")
	if err := set(150); err != nil {
		t.Fatal(err)
	}
	refused(t, put(51), "InvalidParameterValueException", "Specified ReservedConcurrentExecutions for function decreases account's UnreservedConcurrentExecution below its minimum value of [100].")
	if err := put(50); err != nil {
		t.Error(err)
	}
	refusedAs(t, set(149), thermocline.KindInvalidParameter, "have reserved 50, and 100 must be left")
	if err := set(0); err != nil {
		t.Error(err)
	}
	s, err := g.GetAccountSettings(ctx, &lambda.GetAccountSettingsInput{})
	if err != nil || s.AccountLimit.ConcurrentExecutions != 1000 || aws.ToInt32(s.AccountLimit.UnreservedConcurrentExecutions) != 950 {
		t.Errorf("%+v, %v", s, err)
	}
}
