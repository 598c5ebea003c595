package main

import "testing"

func TestDelete(t *testing.T) {
	m := newMachine(t)
	server, _ := m.serve(t)
	server.on("DELETE "+pathF, 204, "")
	m.run(t, "delete", "f").want(t, 0, "deleted f")
}

func TestDeleteOfNothing(t *testing.T) {
	m := newMachine(t)
	server, _ := m.serve(t)
	server.on("DELETE "+pathF, 404, notFoundF, notFoundHeader...)
	m.run(t, "delete", "f").want(t, exitNotFound, "Function not found", "thermocline list")
}
