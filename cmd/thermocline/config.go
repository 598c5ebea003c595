package main

import (
	"errors"
	"fmt"
	"math"
	"net"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"thermocline/fleet"
	"thermocline/frontend"
)

const defaultRegion = "us-east-1"

// Config is the whole configuration of a server. Each field can come from the
// default, the file of --config, the environment (THERMOCLINE_ and the key in
// capitals, with _ for the dots) and, but for fleets, a flag; the later wins.
type Config struct {
	// Data is the directory of all that must survive.
	Data string `koanf:"data" json:"data"`
	// Listen is the address of the Lambda API, host:port; port 0 takes a free one.
	Listen string `koanf:"listen" json:"listen"`
	// Region is the one that env prints; callers may sign for others.
	Region string `koanf:"region" json:"region"`
	// NATS are the URLs of a NATS cluster, separated by commas; empty runs one
	// embedded.
	NATS string `koanf:"nats" json:"nats"`
	// Node is this machine's name among others, part of managers' ids.
	Node string `koanf:"node" json:"node"`

	Log      LogConfig      `koanf:"log" json:"log"`
	Provider ProviderConfig `koanf:"provider" json:"provider"`
	Storage  StorageConfig  `koanf:"storage" json:"storage"`

	// Concurrency is how many executions of an account that has no limit of its
	// own may run at once.
	Concurrency int `koanf:"concurrency" json:"concurrency"`
	// ManagersPerFleet is how many instance managers this node runs for each
	// fleet that does not say so itself.
	ManagersPerFleet int `koanf:"managers_per_fleet" json:"managers_per_fleet"`
	// KeepAlive is how long every idle sandbox is kept; 0 is as long as its
	// function's idle times show to be worth it.
	KeepAlive time.Duration `koanf:"keep_alive" json:"keep_alive"`
	// FreezeAfter is how long a sandbox is idle before it is frozen.
	FreezeAfter time.Duration `koanf:"freeze_after" json:"freeze_after"`
	// TimeScale is how many seconds pass in one of the clock for what decides by
	// time: rates, keep-alives, dwell times.
	TimeScale float64 `koanf:"time_scale" json:"time_scale"`
	// Runc is the OCI runtime: a path, or a name to be found in PATH.
	Runc string `koanf:"runc" json:"runc"`
	// ShutdownDeadline is how long running invocations may go on after SIGTERM.
	ShutdownDeadline time.Duration `koanf:"shutdown_deadline" json:"shutdown_deadline"`

	Pool PoolConfig `koanf:"pool" json:"pool"`

	// Fleets claim functions in this order.
	Fleets []fleet.FleetConfig `koanf:"fleets" json:"fleets"`
}

// LogConfig is about the server's own log, on standard error.
type LogConfig struct {
	Level  string `koanf:"level" json:"level"`   // debug, info, warn or error
	Format string `koanf:"format" json:"format"` // text or json
}

// ProviderConfig is what the host gives to instances.
type ProviderConfig struct {
	// MemoryMB is the memory for all instances together, in MB; 0 is three
	// quarters of the machine's.
	MemoryMB int `koanf:"memory_mb" json:"memory_mb"`
	// CPUs bounds the processors for all instances together; 0 is no bound.
	CPUs float64 `koanf:"cpus" json:"cpus"`
}

// StorageConfig is about the embedded NATS.
type StorageConfig struct {
	// MaxMB bounds JetStream on disk, in MB; 0 is what is free at the start
	// less the reserve.
	MaxMB int `koanf:"max_mb" json:"max_mb"`
	// ReserveMB is the free space below which writes are refused, in MB; 0 is
	// 256 or a twentieth of the disk, whichever is less.
	ReserveMB int `koanf:"reserve_mb" json:"reserve_mb"`
	// Sync writes functions, keys and events through to the disk before they
	// are acknowledged. Without it a power failure may lose the last moments;
	// kill -9 does not.
	Sync bool `koanf:"sync" json:"sync"`
}

// defaultConfig is the configuration of nobody's wishes.
func defaultConfig(data, node string) Config {
	return Config{
		Data: data, Listen: "127.0.0.1:8470", Region: defaultRegion, Node: node,
		Log:              LogConfig{Level: "info", Format: "text"},
		Storage:          StorageConfig{Sync: true},
		Concurrency:      frontend.DefaultConcurrency,
		ManagersPerFleet: 2,
		TimeScale:        1,
		Pool:             defaultPool(),
		FreezeAfter:      100 * time.Millisecond,
		Runc:             "runc",
		ShutdownDeadline: 30 * time.Second,
		Fleets:           fleet.Default().Fleets,
	}
}

// nodeName turns a host name into one that may be part of a subject.
func nodeName(host string) string {
	host, _, _ = strings.Cut(strings.ToLower(host), ".")
	host = strings.Trim(notNode.ReplaceAllString(host, "-"), "-")
	if len(host) > 32 {
		host = strings.Trim(host[:32], "-")
	}
	if host == "" {
		return "node"
	}
	return host
}

var (
	notNode       = regexp.MustCompile(`[^a-z0-9]+`)
	nodePattern   = regexp.MustCompile(`^[a-z0-9]([a-z0-9-]{0,30}[a-z0-9])?$`)
	regionPattern = regexp.MustCompile(`^[a-z0-9][a-z0-9-]{0,31}$`)
)

// Validate reports every fault at once, one a line, each beginning with the
// key. It touches nothing outside.
func (c Config) Validate() error {
	var faults []error
	bad := func(key, format string, args ...any) {
		faults = append(faults, fmt.Errorf("%s: %s", key, fmt.Sprintf(format, args...)))
	}
	if c.Data == "" {
		bad("data", "must be a directory")
	}
	if host, port, err := net.SplitHostPort(c.Listen); err != nil {
		bad("listen", "%q is no host:port, such as 127.0.0.1:8470", c.Listen)
	} else if _, err := strconv.ParseUint(port, 10, 16); err != nil || (host != "" && net.ParseIP(host) == nil && host != "localhost") {
		bad("listen", "%q needs an IP address or localhost, and a port from 0 to 65535", c.Listen)
	}
	if !regionPattern.MatchString(c.Region) {
		bad("region", "%q is no name of a region: lower-case letters, digits and hyphens", c.Region)
	}
	if !nodePattern.MatchString(c.Node) {
		bad("node", "%q must be 1 to 32 lower-case letters, digits and hyphens", c.Node)
	}
	for _, one := range c.natsURLs() {
		if u, err := url.Parse(one); err != nil || u.Host == "" || !slices.Contains([]string{"nats", "tls", "ws", "wss"}, u.Scheme) {
			bad("nats", "%q is no URL like nats://host:4222", one)
		}
	}
	if !slices.Contains([]string{"debug", "info", "warn", "error"}, c.Log.Level) {
		bad("log.level", "%q is none of debug, info, warn, error", c.Log.Level)
	}
	if !slices.Contains([]string{"text", "json"}, c.Log.Format) {
		bad("log.format", "%q is neither text nor json", c.Log.Format)
	}
	if c.Runc == "" {
		bad("runc", "must be a path, or a name in PATH")
	}
	for _, r := range []struct {
		key             string
		value, min, max float64
		zero            bool // 0 means something of its own
	}{
		{"provider.memory_mb", float64(c.Provider.MemoryMB), 256, 1 << 24, true},
		{"time_scale", c.TimeScale, 0.001, 10_000, false},
		{"provider.cpus", c.Provider.CPUs, 0.1, 4096, true},
		{"storage.max_mb", float64(c.Storage.MaxMB), 64, 1 << 30, true},
		{"storage.reserve_mb", float64(c.Storage.ReserveMB), 1, 1 << 20, true},
		{"concurrency", float64(c.Concurrency), 1, 100_000, false},
		{"managers_per_fleet", float64(c.ManagersPerFleet), 1, 64, false},
		{"pool.cold_start_gb_s", c.Pool.ColdStartGBs, 1, 1e6, false},
		{"pool.warm_mb", float64(c.Pool.WarmMB), -1, 1 << 20, false},
	} {
		if math.IsNaN(r.value) || (r.value < r.min || r.value > r.max) && !(r.zero && r.value == 0) {
			bad(r.key, "must be from %.16g to %.16g, not %g", r.min, r.max, r.value)
		}
	}
	for _, r := range []struct {
		key             string
		value, min, max time.Duration
	}{
		{"keep_alive", c.KeepAlive, time.Second, 30 * 24 * time.Hour},
		{"pool.keep_alive_min", c.Pool.KeepAliveMin, time.Second, 24 * time.Hour},
		{"pool.keep_alive_max", c.Pool.KeepAliveMax, c.Pool.KeepAliveMin, 30 * 24 * time.Hour},
		{"pool.idle_bin", c.Pool.IdleBin, 100 * time.Millisecond, time.Hour},
		{"freeze_after", c.FreezeAfter, 0, time.Hour},
		{"shutdown_deadline", c.ShutdownDeadline, 0, 15 * time.Minute},
	} {
		if r.key == "keep_alive" && c.KeepAlive == 0 {
			continue
		}
		if r.value < r.min || r.value > r.max {
			bad(r.key, "must be from %v to %v, not %v (write a unit: 10m, 100ms)", r.min, r.max, r.value)
		}
	}
	if s := c.Pool.Spares; s != sparesAuto && s != sparesNone {
		if _, err := parseSpares(s); err != nil {
			bad("pool.spares", "must be auto, none or a list by commas: %v", err)
		}
	}
	if _, err := fleet.New(c.fleetConfig()); err != nil {
		bad("fleets", "%v", err)
	}
	return errors.Join(faults...)
}

// fleetConfig is the configuration of the fleets, with what all of them share
// filled in.
func (c Config) fleetConfig() fleet.Config {
	fleets := slices.Clone(c.Fleets)
	for i := range fleets {
		if fleets[i].Managers == 0 {
			fleets[i].Managers = c.ManagersPerFleet
		}
		if fleets[i].KeepAlive == 0 {
			fleets[i].KeepAlive = c.KeepAlive
		}
	}
	return fleet.Config{Fleets: fleets}
}

// natsURLs are the URLs of an external cluster, none for the embedded server.
func (c Config) natsURLs() []string {
	var urls []string
	for one := range strings.SplitSeq(c.NATS, ",") {
		if one = strings.TrimSpace(one); one != "" {
			urls = append(urls, one)
		}
	}
	return urls
}

// warnings says what is allowed and should be known.
func (c Config) warnings() []string {
	var warnings []string
	if host, _, err := net.SplitHostPort(c.Listen); err == nil && host != "localhost" {
		if ip := net.ParseIP(host); ip == nil || !ip.IsLoopback() {
			warnings = append(warnings, fmt.Sprintf("listening on %s: others can reach it, over plain HTTP", c.Listen))
		}
	}
	if !c.Storage.Sync {
		warnings = append(warnings, "storage.sync is off: a power failure may lose what was acknowledged")
	}
	return warnings
}
