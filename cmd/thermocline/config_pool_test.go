package main

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"thermocline/fleet"
	"thermocline/manager/pool"
)

func TestParseSpares(t *testing.T) {
	got, err := parseSpares("nodejs22.x:128, python3.11:512:3")
	if err != nil {
		t.Fatal(err)
	}
	want := []pool.Spare{{Runtime: "nodejs22.x", MemoryMB: 128, N: 1}, {Runtime: "python3.11", MemoryMB: 512, N: 3}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	for text, want := range map[string]string{
		"nodejs22.x":            "no RUNTIME:MB",
		"nodejs22.x:128:1:1":    "no RUNTIME:MB",
		"cobol:128":             "no runtime",
		"nodejs22.x:64":         "from 128 to 10240",
		"nodejs22.x:many":       "from 128 to 10240",
		"nodejs22.x:128:0":      "from 1 to 64",
		"nodejs22.x:128,":       "no RUNTIME:MB",
		"nodejs22.x:128:999999": "from 1 to 64",
	} {
		if _, err := parseSpares(text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want one that says %q", text, err, want)
		}
	}
}

// A keep-alive that somebody names holds; without one the pool finds its own.
func TestPoolConfig(t *testing.T) {
	c := defaultConfig("/data", "node")
	if p := c.poolConfig(fleet.FleetConfig{Dispatch: fleet.DispatchQueue}); p.Fixed || p.Staff != nil || p.Worth != 400 || p.Defaults().KeepAlive != 10*time.Minute {
		t.Errorf("the pool of a low-volume fleet is %+v", p)
	}
	if p := c.poolConfig(fleet.FleetConfig{Dispatch: fleet.DispatchDirect, KeepAlive: time.Minute}); !p.Fixed || p.KeepAlive != time.Minute || p.Staff == nil {
		t.Errorf("the pool of a high-volume fleet with a keep-alive is %+v", p)
	}
	// The defaults of the configuration are those of the pool.
	mine, theirs := c.poolConfig(fleet.FleetConfig{}).Defaults(), pool.Config{}.Defaults()
	if diff := cmp.Diff(theirs, mine); diff != "" {
		t.Errorf("the defaults differ (-pool +here):\n%s", diff)
	}
}
