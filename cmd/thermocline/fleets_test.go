package main

import "testing"

func TestFleets(t *testing.T) {
	m := newMachine(t)
	server, _ := m.serve(t)
	server.on("GET /thermocline/v1/fleets", 200, `{"fleets":[
{"name":"high-volume","dispatch":"direct","functions":2,"rate":12.5,"queued":1,"managers":[
 {"id":"high-volume-1","fleet":"high-volume","node":"n","outstanding":3,"slots":9,"queued":4,
  "instances":[{"id":"i","provider":"host","memory_mb":1024,"used_mb":256,"sandboxes":2}],
  "sandboxes":{"starting":0,"warming":1,"idle":2,"busy":3,"draining":0}}]},
{"name":"low-volume","dispatch":"queue","functions":0,"rate":0,"queued":0,"managers":[]}]}`)
	m.run(t, "fleets").want(t, 0, "high-volume (direct): 2 functions, 12.5 requests/s, 1 queued", "256/1024 MB", "low-volume (queue): 0 functions")
	m.run(t, "fleets", "--json").want(t, 0, `"rate": 12.5`)
}

// Who is not the operator gets no managers and no queue.
func TestFleetsOfATenant(t *testing.T) {
	m := newMachine(t)
	server, _ := m.serve(t)
	server.on("GET /thermocline/v1/fleets", 200, `{"fleets":[{"name":"high-volume","dispatch":"direct","functions":1,"rate":2},{"name":"low-volume","dispatch":"queue"}]}`)
	r := m.run(t, "fleets")
	if want := "high-volume (direct): 1 functions, 2 requests/s\nlow-volume (queue): 0 functions, 0 requests/s\n"; r.stdout != want {
		t.Errorf("got  %q\nwant %q", r.stdout, want)
	}
}
