package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"thermocline"
	"thermocline/client"
)

func newLogsCmd(g *globals) *cobra.Command {
	var since string
	var asJSON bool
	q := client.LogQuery{}
	c := &cobra.Command{
		Use:   "logs NAME",
		Short: "Print what a function wrote",
		Long: `Print what a function wrote, with the START, END and REPORT lines of each
invocation. With --json each line is an object with time, request_id, kind
(START, END, REPORT, line) and text, and where it ran.

  thermocline logs hello -f
  thermocline logs hello --since 10m --json | jq .text`,
		Args: exactly("NAME"),
		RunE: func(c *cobra.Command, args []string) error {
			q.Function = args[0]
			var err error
			if q.Since, err = sinceTime(since, g.env.now()); err != nil {
				return err
			}
			s, err := g.server()
			if err != nil {
				return err
			}
			own, err := s.own()
			if err != nil {
				return err
			}
			defer own.Close()
			write := writeLine
			if asJSON {
				write = writeLineJSON
			}
			err = own.Logs(c.Context(), q, func(l thermocline.LogLine) error { return write(g.env.stdout, l) })
			if errors.Is(err, io.ErrUnexpectedEOF) {
				return fail(exitUnreachable, "", "the server went away")
			}
			return s.explain(c.Context(), err)
		},
	}
	f := c.Flags()
	f.BoolVarP(&q.Follow, "follow", "f", false, "go on with new lines")
	f.StringVar(&since, "since", "", "only lines since a `time`: 10m ago, or 2026-11-23T10:00:00Z")
	f.IntVar(&q.Limit, "limit", 0, "only the last `N` lines")
	f.BoolVar(&asJSON, "json", false, "print an object a line")
	return c
}

// sinceTime understands a duration before now, and a time.
func sinceTime(text string, now time.Time) (time.Time, error) {
	if text == "" {
		return time.Time{}, nil
	}
	if d, err := time.ParseDuration(text); err == nil && d >= 0 {
		return now.Add(-d), nil
	}
	if t, err := time.Parse(time.RFC3339Nano, text); err == nil {
		return t, nil
	}
	return time.Time{}, fail(exitUsage, "write a duration such as 10m, or a time such as 2026-11-23T10:00:00Z", "--since %q is no time", text)
}

// writeLine writes one line for people; a REPORT says where it ran.
func writeLine(w io.Writer, l thermocline.LogLine) error {
	text := strings.ReplaceAll(strings.TrimRight(l.Text, "\t\r\n"), "\t", "  ")
	if l.Kind == thermocline.LogReport && l.Manager != "" {
		text += fmt.Sprintf("  (manager %s, instance %s)", l.Manager, l.Instance)
	}
	_, err := fmt.Fprintf(w, "%s  %s\n", l.Time.Local().Format("2006-01-02 15:04:05.000"), printable(text))
	return err
}

// loggedLine fixes the keys of --json.
type loggedLine struct {
	Time      time.Time           `json:"time"`
	RequestID string              `json:"request_id"`
	Kind      thermocline.LogKind `json:"kind"`
	Text      string              `json:"text"`
	Version   string              `json:"version,omitempty"`
	Manager   string              `json:"manager,omitempty"`
	Instance  string              `json:"instance,omitempty"`
	Sandbox   string              `json:"sandbox,omitempty"`
}

func writeLineJSON(w io.Writer, l thermocline.LogLine) error {
	raw, err := json.Marshal(loggedLine{Time: l.Time.UTC(), RequestID: l.RequestID, Kind: l.Kind, Text: l.Text,
		Version: l.Version, Manager: l.Manager, Instance: l.Instance, Sandbox: l.Sandbox})
	if err != nil {
		return fmt.Errorf("print a log line: %w", err)
	}
	_, err = w.Write(append(raw, '\n'))
	return err
}
