package archtest_test

// reasons maps what a package imports to why.
type reasons map[string]string

const nouns = "the nouns"

// imports is the import table: for each package of the tree, the packages of
// the tree that it may import. Imports follow the request's way (frontend,
// history, fleet, dispatch, manager, instance, sandbox) and never go back;
// adapters of the same contract do not know each other; only cmd knows
// concrete adapters.
var imports = map[string]reasons{
	"": {},

	// Stage 1.
	"frontend": {
		"":               nouns,
		"frontend/sigv4": "verifies each request",
		"fleet":          "classifies a function, chooses managers, explains",
		"dispatch":       "carries the invocation on",
		"store":          "finds functions, keys and logs; the contract",
		"store/code":     "refuses packages that could not be unpacked",
		"sandbox":        "explains which functions cannot be bound late; the contract",
	},
	"frontend/sigv4": {"": nouns},

	// Stage 2.
	"history": {"": nouns},

	// Stage 3.
	"fleet": {"": nouns},

	// Stage 4.
	"dispatch":              {"": nouns},
	"dispatch/natsdispatch": {"": nouns, "dispatch": "the contract that it fulfils"},
	"dispatch/memdispatch":  {"": nouns, "dispatch": "the contract that it fulfils"},
	"dispatch/dispatchtest": {"": nouns, "dispatch": "the contract that its suite tests"},

	// Stage 5.
	"manager": {
		"":               nouns,
		"manager/pool":   "the policy that it carries out",
		"manager/ledger": "how the memory is shared, likewise",
		"instance":       "acquires instances; the contract",
		"sandbox":        "starts sandboxes and invokes in them; the contract",
	},
	"manager/pool":      {"": nouns, "manager/autoscale": "how many sandboxes a frequent function should have"},
	"manager/autoscale": {"": nouns},
	"manager/ledger":    {},

	// Stage 6.
	"instance":                        {"": nouns, "sandbox": "an instance starts sandboxes; the contract"},
	"instance/host":                   {"": nouns, "instance": "the contract that it fulfils", "instance/host/cgroup": "a slice is a control group", "sandbox": "it starts sandboxes; the contract"},
	"instance/host/cgroup":            {"": nouns},
	"instance/host/cgroup/cgrouptest": {"instance/host/cgroup": "the contract that its model fulfils"},
	"instance/instancetest":           {"": nouns, "instance": "the contract that its suite tests", "sandbox": "the contract of what instances start", "sandbox/sandboxtest": "its fake is what the fake instance starts"},

	// Stage 7.
	"sandbox":                              {"": nouns},
	"sandbox/oci":                          {"": nouns, "sandbox": "the contract that it fulfils", "sandbox/bootstrap": "the programs that it starts inside", "sandbox/runtimeapi": "what those programs speak"},
	"sandbox/bootstrap":                    {"": nouns, "sandbox": "which variables cannot come late"},
	"sandbox/runtimeapi":                   {"": nouns, "sandbox": "the outcomes of invocations"},
	"sandbox/interpreter":                  {"": nouns},
	"sandbox/sandboxtest":                  {"": nouns, "sandbox": "the contract that its suite tests"},
	"sandbox/sandboxtest/program/provided": {},

	// Beside the way.
	"store":           {"": nouns},
	"store/code":      {"": nouns, "store": "the contract that it reads through"},
	"store/natsstore": {"": nouns, "store": "the contract that it fulfils"},
	"store/storetest": {"": nouns, "store": "the contract that its suite tests"},
	"client":          {"": nouns},
	"trace":           {},
	"replay":          {"": nouns, "trace": "the workload"},
	"simulate":        {"": nouns, "trace": "the workload", "history": "the policy that it plays", "fleet": "the policy that it plays", "manager/pool": "the policy that it plays", "manager/ledger": "the policy that it plays"},
	"simulate/report": {"simulate": "the results that it draws"},
	"e2e":             {},
	"e2e/load":        {},
	"e2e/rig":         {},

	"e2e/hostile":          {},
	"e2e/hostile/attacker": {},
	"e2e/soak":             {},

	"e2e/bench": {"sandbox/bootstrap": "runs the same runtime process without a sandbox"},

	"internal/natsserver": {"": nouns},
	"internal/archtest":   {},
	"internal/deps":       {},

	"cmd/thermocline": {
		"":                      nouns,
		"client":                "commands speak to the server through it",
		"frontend":              "wiring",
		"frontend/sigv4":        "wiring: keys of the store verify requests",
		"history":               "wiring",
		"fleet":                 "wiring, and the default of the configuration",
		"dispatch":              "wiring",
		"dispatch/natsdispatch": "wiring: the only dispatch of the program",
		"manager":               "wiring",
		"manager/pool":          "wiring: the pool's settings",
		"manager/autoscale":     "wiring: the settings of staffing",
		"instance":              "wiring",
		"instance/host":         "wiring: the provider of instances",
		"sandbox":               "wiring",
		"sandbox/oci":           "wiring: the sandboxes",
		"sandbox/interpreter":   "wiring, and `runtime list` and `runtime install`",
		"store":                 "wiring",
		"store/code":            "wiring: the cache of unpacked code",
		"store/natsstore":       "wiring: the store",
		"internal/natsserver":   "wiring: the embedded server",
		"trace":                 "reads the traces of simulate",
		"replay":                "the replay command",
		"simulate":              "the simulate command, and what replay predicts",
		"simulate/report":       "its report",
	},
}

// module is where a third-party module may be used outside of tests.
type module struct {
	prefix string
	reason string
	in     []string // packages of the tree
}

// modules is the table of third-party modules. What is not in it may not be
// imported at all.
var modules = []module{
	{"github.com/nats-io/", "NATS types stay within its adapters", []string{"dispatch/natsdispatch", "store/natsstore", "internal/natsserver", "cmd/thermocline"}},
	{"github.com/containerd/go-runc", "OCI types stay within its adapter", []string{"sandbox/oci"}},
	{"github.com/opencontainers/", "OCI types stay within its adapter", []string{"sandbox/oci"}},
	{"github.com/moby/profiles/", "the seccomp profile is the sandbox's", []string{"sandbox/oci"}},
	{"github.com/vishvananda/", "network namespaces are the sandbox's", []string{"sandbox/oci"}},
	{"github.com/containerd/cgroups/", "control groups are the host provider's and the sandbox's", []string{"instance/host", "instance/host/cgroup", "sandbox/oci"}},
	{"github.com/aws/aws-sdk-go-v2", "AWS types stay with those that speak to the API from outside", []string{"frontend/sigv4", "client", "cmd/thermocline", "e2e/bench", "e2e/rig"}},
	{"github.com/aws/smithy-go", "the errors of the SDK", []string{"cmd/thermocline"}},
	{"github.com/aws/aws-lambda-go", "what functions are written with", []string{"sandbox/sandboxtest/program/provided", "examples/go"}},
	{"cel.dev/", "criteria are the fleets'", []string{"fleet"}},
	{"github.com/google/uuid", "request ids and revisions", []string{"frontend", "store/natsstore", "sandbox/sandboxtest"}},
	{"github.com/google/go-cmp", "tests", []string{"dispatch/dispatchtest", "sandbox/sandboxtest", "instance/instancetest", "store/storetest"}},
	{"github.com/knadh/koanf/", "configuration", []string{"cmd/thermocline"}},
	{"github.com/go-viper/mapstructure/", "configuration", []string{"cmd/thermocline"}},
	{"go.yaml.in/yaml/", "configuration", []string{"cmd/thermocline"}},
	{"github.com/spf13/", "the command line", []string{"cmd/thermocline"}},
	{"github.com/prometheus/client_golang", "metrics are registered through an interface of it", []string{"telemetry", "frontend", "manager", "cmd/thermocline"}},
	{"gonum.org/v1/plot", "reports of simulations are all that is drawn", []string{"simulate/report"}},
	{"golang.org/x/", "Go's own extended library", nil}, // anywhere but in the nouns and in the pure packages
}

// pure are the packages that run in a simulator too: no I/O, no goroutines, no
// clock of their own, no global random source.
var pure = []string{"history", "fleet", "manager/pool", "manager/autoscale", "manager/ledger"}

// extended may import golang.org/x: all but the nouns and the pure packages.
func extended(pkg string) bool {
	for _, p := range append([]string{""}, pure...) {
		if p == pkg {
			return false
		}
	}
	return true
}
