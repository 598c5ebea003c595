package storetest

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"thermocline"
	"thermocline/store"
)

// Test runs the suite. open returns an empty store that is ready; it cleans up
// by t.Cleanup.
func Test(t *testing.T, open func(t *testing.T) store.Store) {
	for _, part := range []struct {
		name string
		test func(t *testing.T, s store.Store)
	}{
		{"functions/create and get", testCreateAndGet},
		{"functions/what is returned is not the caller's", testIsolation},
		{"functions/names are injective", testNames},
		{"functions/update", testUpdate},
		{"functions/concurrent updates", testConcurrentUpdates},
		{"functions/concurrent creates", testConcurrentCreates},
		{"functions/versions", testVersions},
		{"functions/concurrent publishes", testConcurrentPublishes},
		{"functions/delete", testDelete},
		{"functions/list", testList},
		{"code", testCode},
		{"code/collect", testCollect},
		{"accounts", testAccounts},
		{"accounts/update", testUpdateAccount},
		{"accounts/keys", testKeys},
		{"accounts/new and revoked keys", testKeyLife},
		{"accounts/one that closes", testClosing},
		{"accounts/delete takes the keys", testDeleteAccount},
		{"logs", testLogs},
		{"logs/large", testLargeLogs},
		{"logs/follow", testFollow},
		{"logs/an error ends the reading", testReadError},
		{"histories", testHistories},
	} {
		t.Run(part.name, func(t *testing.T) { part.test(t, open(t)) })
	}
}

const account = "123456789012"

func id(name string) thermocline.FunctionID {
	return thermocline.FunctionID{Account: account, Name: name, Version: thermocline.Latest}
}

// function has every field set.
func function(name string) *thermocline.Function {
	return &thermocline.Function{
		FunctionID:   id(name),
		Region:       "eu-central-1",
		Description:  "says \"hello\" – <&>",
		Runtime:      "nodejs20.x",
		Handler:      "index.handler",
		Role:         "arn:aws:iam::123456789012:role/r",
		Architecture: "x86_64",
		MemoryMB:     128,
		TmpMB:        512,
		Timeout:      3 * time.Second,
		Environment:  map[string]string{"A": "b", "": "empty", "Ü": "\x00"},
		CodeSHA256:   "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=",
		CodeSize:     300,
		Layers:       []string{"arn:aws:lambda:eu-central-1:123456789012:layer:l:1"},
		Extra:        map[string][]byte{"TracingConfig": []byte(`{"Mode":"PassThrough"}`)},
		Revision:     "a3c5b1c0-0000-4000-8000-000000000000",
		Generation:   7,

		State:           thermocline.StatePending,
		StateReason:     "The function is being created.",
		StateReasonCode: "Creating",
		LastUpdate:      thermocline.UpdateInProgress,
		LastModified:    time.Date(2026, 1, 2, 3, 4, 5, 678_000_000, time.UTC),
	}
}

// want fails the test when err is not of the kind.
func want(t *testing.T, err error, kind thermocline.Kind) {
	t.Helper()
	if err == nil || thermocline.KindOf(err) != kind {
		t.Fatalf("got %v of kind %v, want kind %v", err, thermocline.KindOf(err), kind)
	}
}

func ok(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func same(t *testing.T, what string, got, want any) {
	t.Helper()
	if d := cmp.Diff(want, got, cmpopts.EquateEmpty(), cmpopts.EquateApproxTime(0)); d != "" {
		t.Fatalf("%s (-want +got):\n%s", what, d)
	}
}
