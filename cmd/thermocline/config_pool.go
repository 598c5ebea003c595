package main

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"thermocline/fleet"
	"thermocline/manager/autoscale"
	"thermocline/manager/pool"
	"thermocline/sandbox/interpreter"
)

// PoolConfig is about the sandboxes that wait: bound ones for their function,
// and those of the warming pool for any.
type PoolConfig struct {
	// ColdStartGBs is the price of a cold start: how much memory may wait how
	// long to save one, in GB·s.
	ColdStartGBs float64 `koanf:"cold_start_gb_s" json:"cold_start_gb_s"`
	// KeepAliveMin is how long a function's last sandbox is kept at least while
	// little is known of its idle times; KeepAliveMax bounds how long any is.
	KeepAliveMin time.Duration `koanf:"keep_alive_min" json:"keep_alive_min"`
	KeepAliveMax time.Duration `koanf:"keep_alive_max" json:"keep_alive_max"`
	// IdleBin is the resolution at which idle times are learned.
	IdleBin time.Duration `koanf:"idle_bin" json:"idle_bin"`
	// WarmMB bounds the warming pool of each manager, in MB; 0 is an eighth of
	// its instances' memory and at least the spares, -1 is no warming pool.
	WarmMB int `koanf:"warm_mb" json:"warm_mb"`
	// Spares are the sandboxes that wait booted in each manager of the last
	// fleet from the start: "auto", "none", or a list of RUNTIME:MB[:N].
	Spares string `koanf:"spares" json:"spares"`
}

func defaultPool() PoolConfig {
	return PoolConfig{
		ColdStartGBs: 400, KeepAliveMin: 5 * time.Minute, KeepAliveMax: 4 * time.Hour, IdleBin: time.Minute,
		Spares: sparesAuto,
	}
}

const (
	sparesAuto = "auto" // one of the newest Node.js and Python that can run, of 128 MB
	sparesNone = "none"

	spareMB  = 128
	maxSpare = 64
)

// parseSpares reads the list form of Spares.
func parseSpares(text string) ([]pool.Spare, error) {
	var list []pool.Spare
	for one := range strings.SplitSeq(text, ",") {
		fields := strings.Split(strings.TrimSpace(one), ":")
		if len(fields) != 2 && len(fields) != 3 {
			return nil, fmt.Errorf("%q is no RUNTIME:MB or RUNTIME:MB:N, such as nodejs22.x:128", one)
		}
		s := pool.Spare{Runtime: fields[0], N: 1}
		if !slices.Contains(interpreter.Runtimes(), s.Runtime) {
			return nil, fmt.Errorf("%q is no runtime; known are %s", s.Runtime, strings.Join(interpreter.Runtimes(), ", "))
		}
		var err error
		if s.MemoryMB, err = strconv.Atoi(fields[1]); err != nil || s.MemoryMB < spareMB || s.MemoryMB > 10<<10 {
			return nil, fmt.Errorf("the memory of %q must be from %d to 10240 MB", one, spareMB)
		}
		if len(fields) == 3 {
			if s.N, err = strconv.Atoi(fields[2]); err != nil || s.N < 1 || s.N > maxSpare {
				return nil, fmt.Errorf("the number of %q must be from 1 to %d", one, maxSpare)
			}
		}
		list = append(list, s)
	}
	return list, nil
}

// spares are what waits booted from the start.
func (n *node) spares(ctx context.Context) ([]pool.Spare, error) {
	switch n.cfg.Pool.Spares {
	case sparesNone:
		return nil, nil
	case sparesAuto:
	default:
		return parseSpares(n.cfg.Pool.Spares)
	}
	set, err := n.finder.Refresh(ctx)
	if err != nil {
		return nil, err
	}
	var list []pool.Spare
	for _, language := range []string{"nodejs", "python"} {
		var newest interpreter.Listing
		for _, l := range set.List() {
			if l.Available && strings.HasPrefix(l.Runtime, language) && cmp.Compare(l.Runtime, newest.Runtime) > 0 {
				newest = l // the names of a language are equally long
			}
		}
		if newest.Runtime != "" {
			list = append(list, pool.Spare{Runtime: newest.Runtime, MemoryMB: spareMB, N: 1})
		}
	}
	return list, nil
}

// poolConfig is the pool of the managers of a fleet.
func (c Config) poolConfig(f fleet.FleetConfig) pool.Config {
	p := pool.Config{
		Worth: c.Pool.ColdStartGBs, Bin: c.Pool.IdleBin,
		KeepAliveMin: c.Pool.KeepAliveMin, KeepAliveMax: c.Pool.KeepAliveMax,
		WarmMB: c.Pool.WarmMB,
		// Somebody who names a keep-alive wants that one.
		KeepAlive: f.KeepAlive, Fixed: f.KeepAlive > 0,
	}
	if f.Dispatch == fleet.DispatchDirect {
		// Its functions are frequent: their sandboxes follow the concurrency.
		staff := autoscale.Default()
		p.Staff = &staff
	}
	return p
}
