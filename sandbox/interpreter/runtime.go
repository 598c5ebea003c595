package interpreter

import (
	"fmt"
	"slices"
	"strings"
)

// language is a family of runtimes that one program can interpret.
type language string

const (
	nodejs   language = "nodejs"
	python   language = "python"
	provided language = "provided" // the function brings its own program
)

// title is the language's name in messages.
func (l language) title() string {
	switch l {
	case nodejs:
		return "Node.js"
	case python:
		return "Python"
	default:
		return "none"
	}
}

// requirement is what a runtime asks of the machine.
type requirement struct {
	runtime  string
	language language
	release  string // the version's beginning: "22" or "3.12"; "" for any
}

// requirements are the runtimes that Thermocline knows, in the order shown to
// people.
var requirements = []requirement{
	{"nodejs18.x", nodejs, "18"},
	{"nodejs20.x", nodejs, "20"},
	{"nodejs22.x", nodejs, "22"},
	{"nodejs24.x", nodejs, "24"},
	{"python3.11", python, "3.11"},
	{"python3.12", python, "3.12"},
	{"python3.13", python, "3.13"},
	{"python3.14", python, "3.14"},
	{"provided.al2", provided, ""},
	{"provided.al2023", provided, ""},
}

// Runtimes returns the names of all runtimes that Thermocline knows, whether
// they can run here or not.
func Runtimes() []string {
	names := make([]string, len(requirements))
	for i, r := range requirements {
		names[i] = r.runtime
	}
	return names
}

// require finds a runtime's requirement.
func require(runtime string) (requirement, bool) {
	i := slices.IndexFunc(requirements, func(r requirement) bool { return r.runtime == runtime })
	if i < 0 {
		return requirement{}, false
	}
	return requirements[i], true
}

// meets reports whether a version is of the release that r asks for.
func (r requirement) meets(version string) bool {
	return r.release != "" && strings.HasPrefix(version, r.release+".")
}

// remedy says what makes the runtime available.
func (r requirement) remedy() string {
	if r.language == nodejs {
		return fmt.Sprintf("run `thermocline runtime install %s`", r.runtime)
	}
	return fmt.Sprintf("install it under /usr, for example as /usr/local/bin/python%s", r.release)
}
