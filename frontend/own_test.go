package frontend_test

import (
	"context"
	"encoding/json"
	"net/http"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/lambda"
	"github.com/aws/aws-sdk-go-v2/service/lambda/types"
	"github.com/google/go-cmp/cmp"

	"thermocline"
	"thermocline/client"
	"thermocline/frontend"
)

// own is a client of Thermocline's own API.
func (g *rig) own() *client.Client {
	g.t.Helper()
	c, err := client.New(client.Options{Endpoint: g.url, Region: region, AccessKeyID: adminKey, SecretAccessKey: secret, HTTP: http.DefaultClient})
	if err != nil {
		g.t.Fatal(err)
	}
	return c
}

func TestOwnAPI(t *testing.T) {
	g := newRig(t, func(o *frontend.Options) { o.Version, o.Node = "v1", "here" })
	g.deploy("f")
	ctx, c := t.Context(), g.own()

	health, err := c.Health(ctx)
	if err != nil || health != (client.Health{Status: "ok", Version: "v1", Node: "here"}) {
		t.Errorf("health %+v, %v", health, err)
	}
	x, err := c.Explain(ctx, "f")
	if err != nil {
		t.Fatal(err)
	}
	if x.Function != account+"/f/$LATEST" || x.Fleet != "low-volume" || x.Dispatch != "queue" || x.Manager != "m1" ||
		len(x.Managers) != 1 || len(x.Criteria) == 0 || len(x.Usage) == 0 || len(x.Changes) == 0 {
		t.Errorf("explanation %+v", x)
	}
	if diff := cmp.Diff(client.Starts{Kind: "pooled"}, x.Starts); diff != "" {
		t.Error(diff)
	}
	g.deploy("opt", func(in *lambda.CreateFunctionInput) {
		in.Environment = &types.Environment{Variables: map[string]string{"NODE_OPTIONS": "--no-warnings", "LD_PRELOAD": "x", "PLAIN": "b"}}
	})
	if x, err = c.Explain(ctx, "opt"); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(client.Starts{Kind: "full", Because: []string{"LD_PRELOAD", "NODE_OPTIONS"}}, x.Starts); diff != "" {
		t.Error(diff)
	}
	if x, err = c.Explain(ctx, prefix+"f:$LATEST"); err != nil || x.Function != account+"/f/$LATEST" {
		t.Errorf("by ARN: %+v, %v", x, err)
	}
	if _, err := c.Explain(ctx, "g"); !isKind(err, thermocline.KindNotFound) {
		t.Errorf("explain an unknown function: %v", err)
	}
	fleets, err := c.Fleets(ctx)
	if err != nil || len(fleets) != 2 {
		t.Fatalf("%+v, %v", fleets, err)
	}
	if f := fleets[1]; f.Name != "low-volume" || f.Queued == nil || *f.Queued != 3 || f.Rate != 0.125 || f.Functions != 1 || len(f.Managers) != 1 || f.Managers[0].ID != "m1" {
		t.Errorf("fleet %+v", f)
	}
	runtimes, err := c.Runtimes(ctx)
	want := []client.Runtime{{Name: "python3.12", Available: true, Path: "/usr/bin/python3"}, {Name: "nodejs22.x", Missing: "no Node.js"}}
	if diff := cmp.Diff(want, runtimes); diff != "" || err != nil {
		t.Error(diff, err)
	}
	if status, h, _ := g.raw("GET", "/thermocline/v1/nothing", nil); status != 404 || h.Get("X-Amzn-Errortype") != "UnknownOperationException" {
		t.Errorf("unknown operation: %d", status)
	}
	if status, _, _ := g.raw("GET", "/thermocline/v1/fleets", nil, "key", invokeKey); status != 403 {
		t.Errorf("a key with the scope invoke sees the fleets: %d", status)
	}
}

func isKind(err error, k thermocline.Kind) bool { return err != nil && thermocline.KindOf(err) == k }

func TestLogStream(t *testing.T) {
	g := newRig(t)
	g.deploy("f")
	at := time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)
	var lines []thermocline.LogLine
	for i, text := range []string{"one", "two <&>", "three"} {
		lines = append(lines, thermocline.LogLine{Time: at.Add(time.Duration(i) * time.Second), Account: account, Function: "f", Version: "$LATEST", RequestID: "r", Kind: thermocline.LogText, Text: text})
	}
	_ = g.store.Append(t.Context(), lines)
	read := func(q client.LogQuery) (got []thermocline.LogLine) {
		q.Function = "f"
		if err := g.own().Logs(t.Context(), q, func(l thermocline.LogLine) error { got = append(got, l); return nil }); err != nil {
			t.Error(err)
		}
		return got
	}
	if diff := cmp.Diff(lines, read(client.LogQuery{})); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff(lines[2:], read(client.LogQuery{Limit: 1})); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff(lines[1:], read(client.LogQuery{Since: at.Add(time.Second)})); diff != "" {
		t.Error(diff)
	}
	// Following ends when the reader has seen enough.
	ctx, cancel := context.WithCancel(t.Context())
	n := 0
	err := g.own().Logs(ctx, client.LogQuery{Function: "f", Follow: true}, func(thermocline.LogLine) error {
		if n++; n == len(lines) {
			cancel()
		}
		return nil
	})
	if err == nil || n != len(lines) {
		t.Errorf("followed %d lines: %v", n, err)
	}
	for _, bad := range []string{"since=yesterday", "limit=-1", "follow=perhaps"} {
		status, _, body := g.raw("GET", "/thermocline/v1/functions/f/logs?"+bad, nil)
		var e struct{ Message string }
		if json.Unmarshal(body, &e) != nil || status != 400 || e.Message == "" {
			t.Errorf("%s: %d %s", bad, status, body)
		}
	}
	if status, _, _ := g.raw("GET", "/thermocline/v1/functions/g/logs", nil); status != 404 {
		t.Errorf("the log of an unknown function: %d", status)
	}
}
