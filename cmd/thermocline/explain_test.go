package main

import "testing"

const explanationF = `{"function":"123456789012/f/$LATEST","fleet":"high-volume","dispatch":"direct","since":"2026-11-23T09:00:00Z",
"may_leave":"2026-11-23T10:05:00Z","manager":"high-volume-1","managers":["high-volume-1","high-volume-2"],
"usage":{"rate_minute":5,"rate_hour":0.5,"total":300,"concurrency":1,"mean_duration_ms":12,"offered":0.06},"last":"2026-11-23T09:59:50Z",
"criteria":[{"fleet":"high-volume","expression":"enter","variable":"rate_minute","unit":"1/s","operator":">","threshold":0.2,"value":5,"distance":-4.8,"holds":true}],
"changes":["leaves high-volume when rate_minute falls to 0.05"],
"starts":{"kind":"full","because":["LD_PRELOAD","NODE_OPTIONS"]}}`

func TestExplain(t *testing.T) {
	m := newMachine(t)
	server, _ := m.serve(t)
	server.on("GET /thermocline/v1/functions/f/explain", 200, explanationF)
	m.run(t, "explain", "f").want(t, 0,
		"is in the fleet high-volume (direct) since ", "for 5m0s more at least",
		"manager: high-volume-1 (then high-volume-2)", "5/s over a minute", "last 10s ago",
		"starts:  full", "LD_PRELOAD, NODE_OPTIONS",
		"rate_minute > 0.2", "leaves high-volume when rate_minute falls to 0.05")
	m.run(t, "explain", "f", "--json").want(t, 0, `"threshold": 0.2`, `"fleet": "high-volume"`)
}

func TestExplainOfNothing(t *testing.T) {
	m := newMachine(t)
	server, _ := m.serve(t)
	server.on("GET /thermocline/v1/functions/f/explain", 404, notFoundF, notFoundHeader...)
	m.run(t, "explain", "f").want(t, exitNotFound, "Function not found", "thermocline list")
}

func TestExplainOfAVersion(t *testing.T) {
	m := newMachine(t)
	server, _ := m.serve(t)
	server.on("GET /thermocline/v1/functions/f:3/explain", 200, explanationF)
	m.run(t, "explain", "f", "--qualifier", "3").want(t, 0, "is in the fleet")
}
