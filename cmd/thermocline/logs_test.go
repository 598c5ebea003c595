package main

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

const pathLogs = "/thermocline/v1/functions/f/logs"

const logsF = `{"time":"2026-11-23T09:59:00Z","account":"123456789012","function":"f","version":"$LATEST","request_id":"r","kind":"START","text":"START RequestId: r Version: $LATEST"}
{"time":"2026-11-23T09:59:00.001Z","request_id":"r","kind":"line","text":"hello\u001b[2J <b>"}
{"time":"2026-11-23T09:59:00.002Z","request_id":"r","kind":"REPORT","text":"REPORT RequestId: r\tDuration: 1.00 ms\t","manager":"m","instance":"i","sandbox":"s"}
`

func TestLogs(t *testing.T) {
	m := newMachine(t)
	server, _ := m.serve(t)
	server.on("GET "+pathLogs, 200, logsF)
	r := m.run(t, "logs", "f", "--since", "10m", "--limit", "5")
	// A function's escape sequences do not reach the terminal.
	r.want(t, 0, "START RequestId: r Version: $LATEST\n", "hello·[2J <b>\n", "REPORT RequestId: r  Duration: 1.00 ms  (manager m, instance i)\n")
	if got := server.last(t, "GET "+pathLogs).query; got != "limit=5&since=2026-11-23T09%3A50%3A00Z" {
		t.Errorf("query %q", got)
	}
}

func TestLogsJSON(t *testing.T) {
	m := newMachine(t)
	server, _ := m.serve(t)
	server.on("GET "+pathLogs, 200, logsF)
	want := `{"time":"2026-11-23T09:59:00Z","request_id":"r","kind":"START","text":"START RequestId: r Version: $LATEST","version":"$LATEST"}
{"time":"2026-11-23T09:59:00.001Z","request_id":"r","kind":"line","text":"hello\u001b[2J \u003cb\u003e"}
{"time":"2026-11-23T09:59:00.002Z","request_id":"r","kind":"REPORT","text":"REPORT RequestId: r\tDuration: 1.00 ms\t","manager":"m","instance":"i","sandbox":"s"}
`
	if diff := cmp.Diff(want, m.run(t, "logs", "f", "--json").stdout); diff != "" {
		t.Error(diff)
	}
}

func TestLogsFollowEndsWithTheServer(t *testing.T) {
	m := newMachine(t)
	server, _ := m.serve(t)
	server.on("GET "+pathLogs, 200, logsF)
	m.run(t, "logs", "f", "-f").want(t, exitUnreachable, "the server went away")
}

func TestSinceTime(t *testing.T) {
	now := time.Date(2026, 11, 23, 10, 0, 0, 0, time.UTC)
	tests := []struct {
		text string
		want time.Time
		ok   bool
	}{
		{"", time.Time{}, true},
		{"90s", now.Add(-90 * time.Second), true},
		{"2026-11-23T09:00:00Z", now.Add(-time.Hour), true},
		{"-5m", time.Time{}, false},
		{"yesterday", time.Time{}, false},
	}
	for _, tt := range tests {
		got, err := sinceTime(tt.text, now)
		if !got.Equal(tt.want) || (err == nil) != tt.ok {
			t.Errorf("sinceTime(%q) = %v, %v", tt.text, got, err)
		}
	}
}
