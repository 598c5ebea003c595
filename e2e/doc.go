// Package e2e has no code but tests: scripts that drive the real program. They
// stand around all stages.
//
// Each testdata/*.txtar is a script of rogpeppe/go-internal/testscript with the
// files that it needs. Beside testscript's own commands there is `server`
// (start, stop, kill, left; see server_test.go), and the variables NODE and
// PYTHON name the runtimes that can run here, GO_FUNCTION a program for
// provided.al2023.
//
// The tests need root and runc. Without them they are skipped, and fail where
// CI is set.
//
// To test it: go test ./e2e, or one script with -run Scripts/restart. The
// package load beside it runs the program under load.
package e2e
