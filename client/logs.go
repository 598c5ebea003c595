package client

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"thermocline"
)

// maxLine bounds a line of the log stream, in bytes: a line of output is cut
// at 256 KB, and JSON may need six bytes for one.
const maxLine = 2 << 20

// LogQuery selects log lines of one function.
type LogQuery struct {
	Function string
	Since    time.Time // zero: from the beginning
	Limit    int       // the last so many lines; 0: all
	Follow   bool      // go on until ctx ends
}

// Logs calls each for every line in order. An error of each ends it and is
// returned. With Follow it ends with ctx's error, or with io.ErrUnexpectedEOF
// when the server went away.
func (c *Client) Logs(ctx context.Context, q LogQuery, each func(thermocline.LogLine) error) error {
	query := url.Values{}
	if !q.Since.IsZero() {
		query.Set("since", q.Since.UTC().Format(time.RFC3339Nano))
	}
	if q.Limit > 0 {
		query.Set("limit", strconv.Itoa(q.Limit))
	}
	if q.Follow {
		query.Set("follow", "true")
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	answer, err := c.do(ctx, http.MethodGet, functionPath(q.Function)+"/logs", query, nil, true)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	if err := eachLine(answer.Body, each); err != nil {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		return err
	}
	if ctx.Err() == nil && q.Follow {
		return fmt.Errorf("the server ended the log stream: %w", io.ErrUnexpectedEOF)
	}
	return ctx.Err()
}

// eachLine reads JSON objects, one a line. Empty lines keep the connection
// alive and mean nothing.
func eachLine(body io.Reader, each func(thermocline.LogLine) error) error {
	lines := bufio.NewScanner(body)
	lines.Buffer(make([]byte, 0, 64<<10), maxLine)
	for lines.Scan() {
		raw := bytes.TrimSpace(lines.Bytes())
		if len(raw) == 0 {
			continue
		}
		var line thermocline.LogLine
		if err := json.Unmarshal(raw, &line); err != nil {
			return fmt.Errorf("a log line is no JSON as expected: %w", err)
		}
		if err := each(line); err != nil {
			return err
		}
	}
	if err := lines.Err(); err != nil {
		if errors.Is(err, bufio.ErrTooLong) {
			return fmt.Errorf("a log line is longer than %d bytes", maxLine)
		}
		return fmt.Errorf("read the log stream: %w", err)
	}
	return nil
}
