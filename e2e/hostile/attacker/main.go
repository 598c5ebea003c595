// Command attacker is the hostile function of the tests in e2e/hostile. As
// /var/task/bootstrap it is a runtime of its own, which can break the Runtime
// API's rules; as a child of another function's handler it attacks from within
// a sandbox that was specialised. An event names the attack; the answer is what
// succeeded that must not, or what the test wants to know.
package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// event is what the test sends.
type event struct {
	Do        string   `json:"do"`
	Paths     []string `json:"paths,omitempty"`
	Addresses []string `json:"addresses,omitempty"`
	Abstract  []string `json:"abstract,omitempty"`
	Pids      []int    `json:"pids,omitempty"`
	Millis    int      `json:"ms,omitempty"`
	ID        string   `json:"id,omitempty"`    // a request id
	Value     string   `json:"value,omitempty"` // echoed

	request string // the request id of this invocation
}

// attacks by name. Each returns what is answered.
var attacks = map[string]func(event) any{
	"echo":       func(e event) any { return e.Value },
	"read":       read,
	"write":      write,
	"mounts":     mounts,
	"kernel":     kernel,
	"calls":      calls,
	"privileges": privileges,
	"processes":  processes,
	"network":    network,
	"links":      links,
	"arguments":  arguments,
	"core":       core,
	"fork":       fork,
	"memory":     memory,
	"disk":       disk,
	"inodes":     inodes,
	"files":      files,
	"sockets":    sockets,
	"flood":      flood,
	"spin":       spin,
	"killall":    killAll,
	"beats":      beats,
	"background": background,
	"api":        api,
	"slow":       slowAPI,
	"foreign":    foreign,
	"twice":      twice,
	"statuses":   func(event) any { return statuses },
	"sleep":      sleep,
}

func main() {
	if len(os.Args) > 1 && os.Args[1] == beatMarker {
		beat()
		return
	}
	if len(os.Args) > 2 && os.Args[1] == foreignMarker {
		callForeign(os.Args[2])
		return
	}
	if filepath.Base(os.Args[0]) == "bootstrap" {
		serve()
		return
	}
	var e event
	if len(os.Args) != 3 || json.Unmarshal([]byte(os.Args[2]), &e) != nil {
		fmt.Fprintln(os.Stderr, "usage: attack REQUEST-ID EVENT")
		os.Exit(2)
	}
	e.request = os.Args[1]
	attack := attacks[e.Do]
	if attack == nil {
		fmt.Fprintln(os.Stderr, "no attack", e.Do)
		os.Exit(2)
	}
	os.Stdout.Write(encode(attack(e)))
}

func encode(v any) []byte {
	data, err := json.Marshal(v)
	if err != nil {
		return []byte(`"` + strings.ReplaceAll(err.Error(), `"`, `'`) + `"`)
	}
	return data
}

// own is the path of this program.
func own() string {
	name, err := os.Executable()
	if err != nil {
		return os.Args[0]
	}
	return name
}
