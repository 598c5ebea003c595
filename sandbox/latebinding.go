package sandbox

import (
	"slices"
	"strings"
)

// ReadAtStart returns those of a function's environment variables that an
// interpreter or the loader reads when it starts, sorted. A process that runs
// already cannot learn them: a function that sets one is better started fully
// than specialised (which starts the process again).
func ReadAtStart(env map[string]string) []string {
	var names []string
	for name := range env {
		if readAtStart(name) {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

func readAtStart(name string) bool {
	switch name {
	case "NODE_OPTIONS", "NODE_PATH", "NODE_EXTRA_CA_CERTS", "NODE_ENV_FILE", "NODE_ICU_DATA", "NODE_DEBUG",
		"NODE_NO_WARNINGS", "NODE_PENDING_DEPRECATION", "NODE_V8_COVERAGE", "NODE_COMPILE_CACHE",
		"NODE_USE_SYSTEM_CA", "NODE_TLS_REJECT_UNAUTHORIZED", "UV_THREADPOOL_SIZE", "OPENSSL_CONF", "SSL_CERT_FILE", "SSL_CERT_DIR",
		"MALLOC_ARENA_MAX", "TZ", "LANG", "AWS_LAMBDA_EXEC_WRAPPER", "GLIBC_TUNABLES":
		return true
	}
	return slices.ContainsFunc([]string{"PYTHON", "LD_", "LC_", "MALLOC_"}, func(prefix string) bool {
		return strings.HasPrefix(name, prefix)
	})
}
