package oci_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"thermocline"
	"thermocline/sandbox"
	"thermocline/sandbox/oci"
)

func TestSmoke(t *testing.T) {
	dir := t.TempDir()
	os.Chmod(dir, 0o755)
	os.WriteFile(filepath.Join(dir, "index.js"), []byte(`exports.handler = async (e) => { console.log("hello"); return {e, env: process.env, cwd: process.cwd(), uid: process.getuid(), user: require('os').userInfo()} }`), 0o644)
	rt, err := oci.New(oci.Config{StateDir: fmt.Sprintf("/run/thermocline/t%d", os.Getpid()), Lookup: func(context.Context, string) (oci.Interpreter, error) {
		return oci.Interpreter{Path: "/usr/bin/node"}, nil
	}})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := rt.Close(); err != nil {
			t.Error(err)
		}
	}()
	f := &thermocline.Function{FunctionID: thermocline.FunctionID{Account: "000000000000", Name: "f", Version: "$LATEST"}, Region: "us-east-1", Runtime: "nodejs20.x", Handler: "index.handler", MemoryMB: 128, TmpMB: 512, Timeout: 3 * time.Second}
	for i := range 5 {
		start := time.Now()
		b, err := rt.Start(t.Context(), sandbox.Spec{ID: fmt.Sprintf("s%d", i), Runtime: "nodejs20.x", MemoryMB: 128, Output: func(l sandbox.Line) { t.Log(l) },
			Binding: &sandbox.Binding{Function: f, CodeDir: dir, LogStream: "x"}}, "")
		if err != nil {
			t.Fatal(err)
		}
		started := time.Since(start)
		out, err := b.Invoke(t.Context(), sandbox.Invocation{RequestID: "00000000-0000-0000-0000-000000000000", Payload: []byte(`{"a":1}`), Timeout: 3 * time.Second, Deadline: time.Now().Add(3 * time.Second)})
		t.Logf("%v %v %q %v %v", started, time.Since(start), out.Failure, out.Init, err)
		if i == 0 {
			t.Logf("%s", out.Payload)
		}
		start = time.Now()
		if err := b.Close(); err != nil {
			t.Fatal(err)
		}
		t.Log("close", time.Since(start))
	}
}
