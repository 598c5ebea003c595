package natsdispatch

// The codec is not exported; its tests are the only ones inside the package.

import (
	"bytes"
	"reflect"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"thermocline"
)

// fill sets every field that v reaches to something that is not zero, so that
// a field that the codec forgets is seen.
func fill(t *testing.T, v reflect.Value, n *int64) {
	t.Helper()
	*n++
	switch v.Kind() {
	case reflect.String:
		v.SetString(string(rune('a'+*n%26)) + "\x00ü")
	case reflect.Int, reflect.Int64:
		v.SetInt(*n * 1_000_003)
	case reflect.Bool:
		v.SetBool(true)
	case reflect.Slice:
		v.SetBytes(bytes.Repeat([]byte{byte(*n), 0}, 5))
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		fill(t, v.Elem(), n)
	case reflect.Map:
		v.Set(reflect.ValueOf(map[string]string{"a": "b", "c": ""}))
	case reflect.Struct:
		if v.Type() == reflect.TypeFor[time.Time]() {
			v.Set(reflect.ValueOf(time.Unix(0, 1_700_000_000_000_000_000+*n)))
			return
		}
		for i := range v.NumField() {
			fill(t, v.Field(i), n)
		}
	default:
		t.Fatalf("a field of kind %v: teach the codec and this test", v.Kind())
	}
}

var unexported = cmp.AllowUnexported(request{}, answer{}, load{})

func TestRequestRoundTrip(t *testing.T) {
	full := request{reply: "thermocline.reply.x.1", notBefore: time.Unix(0, 5)}
	var n int64
	fill(t, reflect.ValueOf(&full.inv).Elem(), &n)
	for _, tt := range []struct {
		name string
		req  request
	}{
		{"full", full},
		{"almost empty", request{inv: thermocline.Invocation{RequestID: "r"}}},
		{"a program without a payload", request{inv: thermocline.Invocation{RequestID: "r", Program: &thermocline.Program{Code: []byte("zip")}}}},
		{"a parked program", request{inv: thermocline.Invocation{RequestID: "r", Program: &thermocline.Program{}}, reply: "s", parked: 9}},
		{"parked", request{inv: thermocline.Invocation{RequestID: "r"}, reply: "s", parked: thermocline.MaxPayload}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := decodeRequest(appendRequest([]byte("prefix"), &tt.req)[6:])
			if err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(&tt.req, got, unexported); d != "" {
				t.Errorf("(-want +got):\n%s", d)
			}
		})
	}
}

func TestAnswerRoundTrip(t *testing.T) {
	var full thermocline.Result
	var n int64
	fill(t, reflect.ValueOf(&full).Elem(), &n)
	l := load{manager: "m", incarnation: "i", outstanding: 3, slots: -1, draining: true}
	for _, tt := range []struct {
		name string
		a    answer
	}{
		{"ask", answer{kind: frameAsk, load: l}},
		{"result", answer{kind: frameResult, load: l, result: &full}},
		{"empty result", answer{kind: frameResult, result: &thermocline.Result{}}},
		{"parked", answer{kind: frameResult, result: &thermocline.Result{}, parked: thermocline.MaxResult}},
		{"refused", answer{kind: frameRefused, load: l, err: &thermocline.Error{Kind: thermocline.KindRefused, Message: "m"}}},
		{"error", answer{kind: frameError, accepted: true, err: &thermocline.Error{Kind: thermocline.KindThrottled, Message: "m", Reason: "r"}}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := decodeAnswer(appendAnswer(nil, &tt.a))
			if err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(&tt.a, got, unexported); d != "" {
				t.Errorf("(-want +got):\n%s", d)
			}
		})
	}
}

func TestDecodeRefuses(t *testing.T) {
	good := appendRequest(nil, &request{inv: thermocline.Invocation{RequestID: "r", Payload: []byte("p")}})
	for n := range len(good) - 1 {
		if _, err := decodeRequest(good[:n]); err == nil {
			t.Errorf("the first %d of %d bytes are taken for a request", n, len(good))
		}
	}
	for name, m := range map[string][]byte{
		"another version": append([]byte{frameMagic, frameVersion + 1}, good[2:]...),
		"an answer":       bareFrame(frameAsk),
		"no request id":   appendRequest(nil, &request{}),
		"long header":     append([]byte{frameMagic, frameVersion, byte(frameRequest), 0x81, 0x80, 0x04}, make([]byte, maxHeader+1)...),
		"parked too much": appendRequest(nil, &request{inv: thermocline.Invocation{RequestID: "r"}, reply: "s", parked: maxParked + 1}),
		"parked for whom": appendRequest(nil, &request{inv: thermocline.Invocation{RequestID: "r"}, parked: 1}),
	} {
		if _, err := decodeRequest(m); err == nil {
			t.Errorf("%s: taken for a request", name)
		}
	}
}

func FuzzDecodeRequest(f *testing.F) {
	f.Add([]byte(nil))
	f.Add(appendRequest(nil, &request{inv: thermocline.Invocation{RequestID: "r", Payload: []byte("p")}, reply: "s", notBefore: time.Unix(0, 1)}))
	f.Add(appendRequest(nil, &request{inv: thermocline.Invocation{RequestID: "r"}, reply: "s", parked: 9}))
	f.Fuzz(func(t *testing.T, m []byte) {
		q, err := decodeRequest(m)
		if err != nil {
			return
		}
		again, err := decodeRequest(appendRequest(nil, q))
		if err != nil {
			t.Fatalf("what was decoded cannot be sent on: %v", err)
		}
		if d := cmp.Diff(q, again, unexported); d != "" {
			t.Errorf("(-first +again):\n%s", d)
		}
	})
}

func FuzzDecodeAnswer(f *testing.F) {
	f.Add([]byte("TA1"))
	f.Add(bareFrame(frameGrant))
	f.Add(appendAnswer(nil, &answer{kind: frameResult, result: &thermocline.Result{Payload: []byte("p")}}))
	f.Add(appendAnswer(nil, &answer{kind: frameError, err: thermocline.Errorf(thermocline.KindInternal, "x")}))
	f.Fuzz(func(t *testing.T, m []byte) {
		a, err := decodeAnswer(m)
		if err != nil {
			return
		}
		if a.parked > 0 {
			a.result.Payload = nil
		}
		again, err := decodeAnswer(appendAnswer(nil, a))
		if err != nil {
			t.Fatalf("what was decoded cannot be sent on: %v", err)
		}
		if d := cmp.Diff(a, again, unexported); d != "" {
			t.Errorf("(-first +again):\n%s", d)
		}
	})
}

func FuzzStoredAt(f *testing.F) {
	f.Add([]byte(`{"stream":"s","seq":5}`))
	f.Add([]byte(`{"error":{"code":503,"err_code":10077,"description":"maximum bytes exceeded"}}`))
	f.Fuzz(func(t *testing.T, m []byte) {
		if seq, err := storedAt(m); err != nil && seq != 0 {
			t.Errorf("sequence %d with error %v", seq, err)
		}
	})
}

func BenchmarkCodec(b *testing.B) {
	q := &request{
		inv: thermocline.Invocation{
			RequestID: "8f5b3c3e-0000-4000-8000-000000000000", ARN: "arn:aws:lambda:eu-west-1:123456789012:function:hello",
			Function: thermocline.FunctionID{Account: "123456789012", Name: "hello", Version: thermocline.Latest},
			Type:     thermocline.RequestResponse, Fleet: "low-volume", Received: time.Now(), StartBy: time.Now(),
			Payload: make([]byte, 1000),
		},
		reply: "thermocline.reply.abcdefghijklmnopqrstuv.1",
	}
	b.ReportAllocs()
	for b.Loop() {
		err := withFrame(len(q.inv.Payload), func(b []byte) []byte { return appendRequest(b, q) }, func(m []byte) error {
			_, err := decodeRequest(m)
			return err
		})
		if err != nil {
			b.Fatal(err)
		}
	}
}
