package main

import (
	"bytes"
	"encoding/json"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"
)

func TestDebugAddresses(t *testing.T) {
	for address, want := range map[string]bool{
		"127.0.0.1:0": true, "localhost:1": true, "[::1]:80": true, "127.9.9.9:1": true,
		"0.0.0.0:0": false, ":8471": false, "192.0.2.1:1": false, "127.0.0.1": false, "example.com:80": false, "": false,
	} {
		if got := isLoopback(address); got != want {
			t.Errorf("%q: %t", address, got)
		}
	}
	if _, err := startDebug("0.0.0.0:0", slog.New(slog.DiscardHandler)); err == nil || !strings.Contains(err.Error(), "loopback") {
		t.Errorf("the error is %v", err)
	}
}

func TestDebugListen(t *testing.T) {
	var log bytes.Buffer
	stop, err := startDebug("127.0.0.1:0", slog.New(slog.NewTextHandler(&log, nil)))
	if err != nil {
		t.Fatal(err)
	}
	defer stop()
	endpoint := regexp.MustCompile(`http://[^/]+/debug/`).FindString(log.String())
	r, err := http.Get(endpoint + "figures?gc=1")
	if err != nil {
		t.Fatal(err)
	}
	defer r.Body.Close()
	var f figures
	if err := json.NewDecoder(r.Body).Decode(&f); err != nil || f.Goroutines < 2 || f.HeapBytes == 0 || f.TakenBytes < f.HeapBytes {
		t.Errorf("%d %+v, %v", r.StatusCode, f, err)
	}
	// A browser that was told that a name of the attacker's is here.
	w, q := httptest.NewRecorder(), httptest.NewRequest("GET", "/debug/figures", nil)
	q.Host = "attacker.example:8471"
	debugHandler().ServeHTTP(w, q)
	if w.Code != http.StatusForbidden {
		t.Errorf("another name is answered %d", w.Code)
	}
}
