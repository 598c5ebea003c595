// Package bootstrap holds the runtimes that stage 7 puts into a sandbox: small
// programs in Node.js and Python that load the user's code and speak the
// Runtime API (package runtimeapi) for it. Functions of the provided runtimes
// bring their own.
//
// In comes a directory, which Write fills and which is mounted read-only at
// Dir, and the environment of the process. Out comes the command to start.
//
// A bootstrap is started in one of two ways. With a function's environment,
// complete with _HANDLER, it loads the code at once. With WaitVariable set it
// loads itself, rehearses an invocation, and waits for GET
// /thermocline/v1/binding; it then takes the environment that it is given in
// place of all of its own, changes into LAMBDA_TASK_ROOT (which may have been
// mounted since) and goes on as the other. Variables whose names begin with
// THERMOCLINE_ are not shown to functions.
//
// What a function sees (the context object, the shapes of errors, the lines
// of the log) is what AWS's runtimes show; the tests hold the recorded shapes.
// They run the real interpreters as processes, without containers, against a
// runtimeapi.Server on loopback.
package bootstrap
