package host_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

// parentProcess identifies the process that runs this test binary as a record
// does.
func parentProcess(t *testing.T) map[string]any {
	t.Helper()
	pid := os.Getppid()
	stat, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "stat"))
	if err != nil {
		t.Fatal(err)
	}
	boot, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(stat), ") ")
	return map[string]any{"pid": pid, "start": strings.Fields(rest)[19], "boot": strings.TrimSpace(string(boot))}
}

// rewriteRecord gives a slice's record another maker.
func rewriteRecord(t *testing.T, w *world, id string, maker map[string]any) {
	t.Helper()
	file := filepath.Join(w.state, "a", "instances", id+".json")
	raw, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var record map[string]any
	if err := json.Unmarshal(raw, &record); err != nil {
		t.Fatal(err)
	}
	record["maker"] = maker
	if raw, err = json.Marshal(record); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, raw, 0o600); err != nil {
		t.Fatal(err)
	}
}
