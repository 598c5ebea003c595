// Package fleet is stage 3 of a request's way: it holds a function's usage
// against the fleets' criteria and chooses the fleet, and the managers in it.
//
// In come a function, its thermocline.Usage and what the managers announce;
// out go a Decision (Set.Classify), the managers to ask, in order (Choose),
// and the reasons (Set.Explain).
//
// Fleets are configuration: an ordered list, each with two expressions in CEL
// over the variables that Variables lists. enter brings a function into the
// fleet, stay keeps it there; enter keeps it too, and so does the dwell, the
// least time in a fleet. The first fleet that claims a function has it; the
// last has no conditions and takes the rest. So a function goes up at once and
// comes down late, which with the band between enter and stay keeps it from
// flapping.
//
// The package guarantees: no I/O, no goroutine, no clock and no random source
// of its own; a wrong expression is refused by New with its position; an
// expression reads numbers only, and costs little; a decision is taken from
// memory unless the usage moved by a tenth or a second has gone by.
//
// Its tests need nothing: go test ./fleet. FuzzNew feeds it expressions, and
// holds our own evaluation of them against cel-go's.
package fleet
