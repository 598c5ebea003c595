// Package thermocline holds the nouns of the system: functions, invocations,
// their results, usage, log lines and errors.
//
// It imports the standard library only. Every stage of a request's way
// (frontend, history, fleet, dispatch, manager, instance, sandbox) speaks in
// these nouns, so that the stages need not know each other.
package thermocline
