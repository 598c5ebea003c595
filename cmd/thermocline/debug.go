package main

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"net/http/pprof"
	"runtime"
	"runtime/debug"
	"time"
)

// figures are what the process says of itself on the debug address.
type figures struct {
	Goroutines int    `json:"goroutines"`
	HeapBytes  uint64 `json:"heap_bytes"`  // of live and not yet swept objects
	HeapCount  uint64 `json:"heap_count"`  // of such objects
	TakenBytes uint64 `json:"taken_bytes"` // from the operating system, less what was given back
	Processors int    `json:"processors"`  // GOMAXPROCS
}

// startDebug serves profiles and figures of this process on an address of the
// loopback interface: who reaches it can read what is in memory, so it is off
// unless asked for. stop ends it.
func startDebug(address string, log *slog.Logger) (stop func(), err error) {
	if address == "" {
		return func() {}, nil
	}
	if !isLoopback(address) {
		return nil, fail(exitUsage, "name an address such as 127.0.0.1:8471", "--debug-listen %q is not on the loopback interface", address)
	}
	listener, err := net.Listen("tcp", address)
	if err != nil {
		return nil, fail(exitFailed, "name another with --debug-listen (port 0 takes a free one)", "listen for debugging: %w", err)
	}
	server := &http.Server{
		Handler: debugHandler(), ReadHeaderTimeout: 10 * time.Second, MaxHeaderBytes: 16 << 10,
		ErrorLog: slog.NewLogLogger(log.Handler(), slog.LevelDebug),
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		if err := server.Serve(listener); err != nil && !errors.Is(err, http.ErrServerClosed) {
			log.Error("the debug address is no longer served", "error", err)
		}
	}()
	log.Warn("profiles and figures of this process are served", "endpoint", "http://"+listener.Addr().String()+"/debug/")
	return func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		if err := server.Shutdown(ctx); err != nil {
			_ = server.Close() // a profile was being made
		}
		<-done
	}, nil
}

// debugHandler answers those who name a loopback address only: a page in
// somebody's browser that has its own name point here does not.
func debugHandler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /debug/figures", serveFigures)
	mux.HandleFunc("GET /debug/pprof/", pprof.Index)
	mux.HandleFunc("GET /debug/pprof/profile", pprof.Profile)
	mux.HandleFunc("GET /debug/pprof/symbol", pprof.Symbol)
	mux.HandleFunc("GET /debug/pprof/trace", pprof.Trace)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !isLoopback(r.Host) {
			http.Error(w, "the Host header must be a loopback address", http.StatusForbidden)
			return
		}
		mux.ServeHTTP(w, r)
	})
}

// serveFigures collects garbage first when asked to with ?gc=1.
func serveFigures(w http.ResponseWriter, r *http.Request) {
	if r.URL.Query().Get("gc") == "1" {
		runtime.GC() // twice: the second frees what finalizers held
		runtime.GC()
		debug.FreeOSMemory()
	}
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(figures{
		Goroutines: runtime.NumGoroutine(), HeapBytes: m.HeapAlloc, HeapCount: m.HeapObjects,
		TakenBytes: m.Sys - m.HeapReleased, Processors: runtime.GOMAXPROCS(0),
	})
}

// isLoopback reports whether host:port is on the loopback interface.
func isLoopback(address string) bool {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return false
	}
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}
