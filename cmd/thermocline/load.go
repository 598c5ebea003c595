package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/go-viper/mapstructure/v2"
	"github.com/knadh/koanf/parsers/yaml"
	kenv "github.com/knadh/koanf/providers/env/v2"
	"github.com/knadh/koanf/providers/file"
	"github.com/knadh/koanf/providers/posflag"
	"github.com/knadh/koanf/providers/structs"
	"github.com/knadh/koanf/v2"
	"github.com/spf13/pflag"
)

// envPrefix begins the names of environment variables.
const envPrefix = "THERMOCLINE_"

// setting is one value of Config that a flag and the environment can give.
type setting struct {
	key   string // in the file
	flag  string
	usage string
}

// settings are all of them but data, whose flag every command has, and fleets,
// which only a file can give.
func settings() []setting {
	return []setting{
		{"listen", "listen", "`address` of the Lambda API; port 0 takes a free one"},
		{"region", "region", "`region` that env prints; callers may sign for others"},
		{"nats", "nats", "`URLs` of a NATS cluster, by commas; empty runs one embedded"},
		{"node", "node", "`name` of this machine"},
		{"log.level", "log-level", "debug, info, warn or error"},
		{"log.format", "log-format", "text or json"},
		{"provider.memory_mb", "memory-mb", "`MB` for all sandboxes together; 0 is three quarters of the machine's memory"},
		{"provider.cpus", "cpus", "processors for all sandboxes together; 0 is no bound"},
		{"storage.max_mb", "storage-max-mb", "`MB` on disk; 0 is what is free less the reserve"},
		{"storage.reserve_mb", "storage-reserve-mb", "free `MB` below which writes are refused; 0 is 256 or a twentieth of the disk"},
		{"storage.sync", "storage-sync", "write through to the disk before acknowledging"},
		{"concurrency", "concurrency", "executions of an account at once, where the account has no limit of its own"},
		{"managers_per_fleet", "managers-per-fleet", "instance managers of each fleet on this node"},
		{"keep_alive", "keep-alive", "how long every idle sandbox is kept; 0 is as long as its function's idle times make it worth"},
		{"freeze_after", "freeze-after", "how long a sandbox is idle before it is frozen"},
		{"time_scale", "time-scale", "seconds that pass in one of the clock for rates, keep-alives and dwell times; for replays"},
		{"pool.cold_start_gb_s", "cold-start-gb-s", "price of a cold start: the `GB·s` of waiting memory that one is worth"},
		{"pool.keep_alive_min", "keep-alive-min", "how long a function's last sandbox is kept while little is known of it"},
		{"pool.keep_alive_max", "keep-alive-max", "how long any idle sandbox is kept at most"},
		{"pool.idle_bin", "idle-bin", "resolution at which idle times are learned; 240 of it are looked ahead"},
		{"pool.warm_mb", "warm-mb", "`MB` of the warming pool of each manager; 0 is an eighth of its instances, -1 none"},
		{"pool.spares", "spares", "sandboxes that wait booted from the start: auto, none, or `RUNTIME:MB[:N],…`"},
		{"runc", "runc", "OCI runtime: a `path`, or a name in PATH"},
		{"shutdown_deadline", "shutdown-deadline", "how long running invocations may go on after SIGTERM"},
	}
}

// addConfigFlags adds the flags of serve and config.
func addConfigFlags(flags *pflag.FlagSet) {
	d := defaultConfig("", "")
	defaults := koanf.New(".")
	// Loading a struct into an empty Koanf cannot fail.
	_ = defaults.Load(structs.Provider(d, "koanf"), nil)
	flags.String("config", "", "YAML `file` with the configuration")
	for _, s := range settings() {
		switch v := defaults.Get(s.key).(type) {
		case time.Duration:
			flags.Duration(s.flag, v, s.usage)
		case int:
			flags.Int(s.flag, v, s.usage)
		case float64:
			flags.Float64(s.flag, v, s.usage)
		case bool:
			flags.Bool(s.flag, v, s.usage)
		case string:
			flags.String(s.flag, v, s.usage)
		}
	}
}

// loaded is a configuration with where each value came from.
type loaded struct {
	Config
	origins map[string]string // by key: "default", "file PATH", "environment NAME", "flag --name"
	unknown []error           // keys of the file that mean nothing
}

// loadConfig makes the configuration of the command whose flags these are.
// The error names every fault and has the exit code.
func (g *globals) loadConfig(flags *pflag.FlagSet) (*loaded, error) {
	host, _ := os.Hostname()
	defaults := defaultConfig(g.env.defaultData(), nodeName(host))
	all := koanf.New(".")
	if err := all.Load(structs.Provider(defaults, "koanf"), nil); err != nil {
		return nil, fmt.Errorf("load the defaults: %w", err)
	}
	known := append(all.Keys(), "fleets")
	out := &loaded{origins: make(map[string]string)}
	for _, key := range all.Keys() {
		out.origins[key] = "default"
	}
	path := g.configPath(flags)
	if path != "" {
		if err := out.mergeFile(all, path, known); err != nil {
			return nil, err
		}
	}
	if err := out.mergeEnvironment(all, g.env.vars, known); err != nil {
		return nil, err
	}
	if err := out.mergeFlags(all, flags); err != nil {
		return nil, err
	}
	err := decode(all, &out.Config)
	if err == nil {
		// What has been decoded in part has faults that nobody made.
		err = out.Validate()
	}
	if err := errors.Join(append(out.unknown, err)...); err != nil {
		return nil, faulty(err)
	}
	if out.Data, err = filepath.Abs(out.Data); err != nil { // children have other working directories
		return nil, fmt.Errorf("find the data directory: %w", err)
	}
	return out, nil
}

// faulty is the error of a configuration with faults.
func faulty(err error) error {
	return fail(exitConfig, "docs/configuration.md explains each key",
		"the configuration has faults:\n  %s", strings.ReplaceAll(err.Error(), "\n", "\n  "))
}

// configPath is the file to read, "" for none.
func (g *globals) configPath(flags *pflag.FlagSet) string {
	if f := flags.Lookup("config"); f != nil && f.Value.String() != "" {
		return f.Value.String()
	}
	return g.env.lookup(envPrefix + "CONFIG")
}

func (l *loaded) mergeFile(all *koanf.Koanf, path string, known []string) error {
	layer := koanf.New(".")
	if err := layer.Load(file.Provider(path), yaml.Parser()); err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			return fail(exitConfig, "name another with --config, or leave it out", "there is no configuration file %s", path)
		}
		return fail(exitConfig, "it must be YAML; `thermocline config` prints one to begin with", "read %s: %w", path, err)
	}
	for _, key := range layer.Keys() {
		if !slices.Contains(known, key) {
			l.unknown = append(l.unknown, fmt.Errorf("%s: there is no such key (in %s)", key, path))
			layer.Delete(key)
			continue
		}
		l.origins[key] = "file " + path
	}
	return all.Merge(layer)
}

// variableOf is the environment variable of a key.
func variableOf(key string) string {
	return envPrefix + strings.ToUpper(strings.ReplaceAll(key, ".", "_"))
}

// mergeEnvironment takes the variables that belong to a key. Others with our
// prefix are left alone: schedulers set such of their own.
func (l *loaded) mergeEnvironment(all *koanf.Koanf, vars, known []string) error {
	keys := make(map[string]string)
	for _, key := range known {
		if key != "fleets" {
			keys[variableOf(key)] = key
		}
	}
	layer := koanf.New(".")
	provider := kenv.Provider(".", kenv.Opt{
		Prefix: envPrefix,
		TransformFunc: func(name, value string) (string, any) {
			key := keys[name]
			if key != "" {
				l.origins[key] = "environment " + name
			}
			return key, value
		},
		EnvironFunc: func() []string { return vars },
	})
	if err := layer.Load(provider, nil); err != nil {
		return fmt.Errorf("read the environment: %w", err)
	}
	return all.Merge(layer)
}

// mergeFlags takes the flags that were given.
func (l *loaded) mergeFlags(all *koanf.Koanf, flags *pflag.FlagSet) error {
	keys := map[string]string{"data": "data"}
	for _, s := range settings() {
		keys[s.flag] = s.key
	}
	return all.Load(posflag.ProviderWithFlag(flags, ".", all, func(f *pflag.Flag) (string, any) {
		key := keys[f.Name]
		if key == "" || !f.Changed {
			return "", nil
		}
		l.origins[key] = "flag --" + f.Name
		return key, posflag.FlagVal(flags, f)
	}), nil)
}

// decode reports all values that are of a wrong type, and keys inside of
// fleets that do not exist.
func decode(all *koanf.Koanf, into *Config) error {
	err := all.UnmarshalWithConf("", into, koanf.UnmarshalConf{DecoderConfig: &mapstructure.DecoderConfig{
		DecodeHook:       mapstructure.StringToTimeDurationHookFunc(),
		WeaklyTypedInput: true,
		ErrorUnused:      true,
		ZeroFields:       true, // a shorter list of fleets replaces the default's
		TagName:          "koanf",
	}})
	if err == nil {
		return nil
	}
	var many interface{ Unwrap() []error }
	if !errors.As(err, &many) {
		return err
	}
	var faults []error
	for _, one := range many.Unwrap() {
		faults = append(faults, errors.New(strings.TrimSpace(strings.TrimPrefix(one.Error(), "decoding failed due to the following error(s):"))))
	}
	return errors.Join(faults...)
}
