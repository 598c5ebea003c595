package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"time"
)

const invocation = "/2018-06-01/runtime/invocation/"

// base is the Runtime API's URL.
func base() string { return "http://" + os.Getenv("AWS_LAMBDA_RUNTIME_API") }

// serve is the loop of a runtime, with the events that break its rules.
func serve() {
	if os.Getenv("HANG") == "start" {
		time.Sleep(time.Hour)
	}
	for {
		r, err := http.Get(base() + invocation + "next")
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		body, err := io.ReadAll(r.Body)
		r.Body.Close()
		if err != nil || r.StatusCode != http.StatusOK {
			fmt.Fprintln(os.Stderr, r.Status, err)
			os.Exit(1)
		}
		var e event
		_ = json.Unmarshal(body, &e) // an event that is none has no attack
		e.request = r.Header.Get("Lambda-Runtime-Aws-Request-Id")
		switch e.Do {
		case "exit":
			os.Exit(0)
		case "answer and hang":
			post(e.request, "response", []byte(`"answered"`))
			time.Sleep(time.Hour)
		case "answer and exit":
			post(e.request, "response", []byte(`"answered"`))
			os.Exit(3)
		}
		attack := attacks[e.Do]
		if attack == nil {
			attack = func(event) any { return "no attack " + e.Do }
		}
		post(e.request, "response", encode(attack(e)))
	}
}

// post sends an answer and returns its status.
func post(id, kind string, body []byte) int {
	r, err := http.Post(base()+invocation+id+"/"+kind, "application/json", bytes.NewReader(body))
	if err != nil {
		return 0
	}
	r.Body.Close()
	return r.StatusCode
}

// statuses are what twice was answered.
var statuses []int

// twice answers this invocation and then again; the caller's own answer is the
// third.
func twice(e event) any {
	statuses = []int{
		post(e.request, "response", []byte(`"first"`)),
		post(e.request, "response", []byte(`"second"`)),
		post(e.request, "error", []byte(`{"errorMessage":"third"}`)),
	}
	return "fourth"
}

// foreign answers another's request, and guesses.
func foreign(e event) any {
	var accepted []string
	for _, id := range []string{
		e.ID, "00000000-0000-0000-0000-000000000000", "next", "..", "%2e%2e", "*", "", e.request + "0",
		e.request + "/../" + e.request, "%00", "a%2fb",
	} {
		for _, kind := range []string{"response", "error"} {
			if status := post(id, kind, []byte(`"forged"`)); status >= 200 && status < 400 {
				accepted = append(accepted, fmt.Sprintf("%q %s: %d", id, kind, status))
			}
		}
	}
	return accepted
}

func sleep(e event) any {
	time.Sleep(time.Duration(e.Millis) * time.Millisecond)
	return e.Value
}
