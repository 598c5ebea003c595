package natsserver

import (
	"fmt"
	"log/slog"
	"strings"
	"sync"
)

// logger passes what the server has to say to slog, from warnings up, and
// notices failed writes: nats-server tells nobody else of them.
type logger struct {
	log    *slog.Logger
	failed func()

	mu        sync.Mutex
	lastFatal string
}

func (l *logger) Noticef(string, ...any) {}
func (l *logger) Debugf(string, ...any)  {}
func (l *logger) Tracef(string, ...any)  {}

func (l *logger) Warnf(format string, v ...any) {
	m := fmt.Sprintf(format, v...)
	l.notice(m)
	l.log.Warn("nats-server", "detail", m)
}

func (l *logger) Errorf(format string, v ...any) {
	m := fmt.Sprintf(format, v...)
	l.notice(m)
	l.log.Error("nats-server", "detail", m)
}

// Fatalf does not end the process: the server's start or use fails instead.
func (l *logger) Fatalf(format string, v ...any) {
	m := fmt.Sprintf(format, v...)
	l.mu.Lock()
	l.lastFatal = m
	l.mu.Unlock()
	l.log.Error("nats-server", "detail", m)
}

func (l *logger) fatal() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.lastFatal
}

// failures are parts of the messages after which JetStream does not write any
// more.
var failures = []string{
	"no space left",
	"Critical write error",
	"JetStream failed to store a msg",
	"disk quota exceeded",
	"disabling JetStream",
	"will be DISABLED",
}

func (l *logger) notice(m string) {
	for _, f := range failures {
		if strings.Contains(m, f) {
			l.failed()
			return
		}
	}
}
