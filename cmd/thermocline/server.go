package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/lambda"

	"thermocline/client"
)

// credentialsFile is where serve leaves the endpoint and the first key, below
// the data directory, with mode 0600.
const credentialsFile = "credentials.json"

// Credentials is what commands need to speak to a server.
type Credentials struct {
	Endpoint        string `json:"endpoint"`
	AccessKeyID     string `json:"access_key_id"`
	SecretAccessKey string `json:"secret_access_key"`
	Region          string `json:"region"`
	Account         string `json:"account,omitempty"`
}

// server is a server as a command found it.
type server struct {
	Credentials
	token  string // AWS_SESSION_TOKEN
	origin string // where the endpoint was found, for messages
	data   string // "" when it was the environment
}

// server finds the server: --data, else the environment, else the default
// data directory.
func (g *globals) server() (server, error) {
	if g.data != "" {
		return g.env.serverOf(g.data)
	}
	for _, name := range []string{"AWS_ENDPOINT_URL_LAMBDA", "AWS_ENDPOINT_URL"} {
		if endpoint := g.env.lookup(name); endpoint != "" {
			return g.env.serverAt(endpoint, name)
		}
	}
	return g.env.serverOf(g.dataDir())
}

// dataDir is the data directory that commands look into.
func (g *globals) dataDir() string {
	if g.data != "" {
		return g.data
	}
	if dir := g.env.lookup("THERMOCLINE_DATA"); dir != "" {
		return dir
	}
	return g.env.defaultData()
}

// serverAt is the server that the environment names.
func (e *env) serverAt(endpoint, origin string) (server, error) {
	s := server{origin: origin, token: e.lookup("AWS_SESSION_TOKEN"), Credentials: Credentials{
		Endpoint:        strings.TrimSuffix(endpoint, "/"),
		AccessKeyID:     e.lookup("AWS_ACCESS_KEY_ID"),
		SecretAccessKey: e.lookup("AWS_SECRET_ACCESS_KEY"),
		Region:          e.lookup("AWS_REGION"),
	}}
	if s.Region == "" {
		s.Region = e.lookup("AWS_DEFAULT_REGION")
	}
	if s.Region == "" {
		s.Region = defaultRegion
	}
	if s.AccessKeyID == "" || s.SecretAccessKey == "" {
		return s, fail(exitUsage, "set both with `eval \"$(thermocline env)\"`, or name the data directory with --data",
			"%s is set, but AWS_ACCESS_KEY_ID or AWS_SECRET_ACCESS_KEY is not", origin)
	}
	return s, nil
}

// serverOf is the server of a data directory.
func (e *env) serverOf(data string) (server, error) {
	path := filepath.Join(data, credentialsFile)
	raw, err := os.ReadFile(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return server{}, fail(exitUnreachable, fmt.Sprintf("start one with `thermocline serve --data %s`", quote(data)),
			"no server has run on %s yet: there is no %s", data, credentialsFile)
	case errors.Is(err, fs.ErrPermission):
		return server{}, fail(exitFailed, "run as the user that runs the server", "%s cannot be read by this user", path)
	case err != nil:
		return server{}, fail(exitFailed, "", "read the credentials: %w", err)
	}
	s := server{origin: data, data: data}
	if err := json.Unmarshal(raw, &s.Credentials); err != nil || s.Endpoint == "" || s.AccessKeyID == "" || s.SecretAccessKey == "" {
		return s, fail(exitFailed, "remove it and start the server again: it writes a new one", "%s is damaged", path)
	}
	if s.Region == "" {
		s.Region = defaultRegion
	}
	return s, nil
}

// own returns a client of the server's own API.
func (s server) own() (*client.Client, error) {
	c, err := client.New(client.Options{
		Endpoint: s.Endpoint, Region: s.Region,
		AccessKeyID: s.AccessKeyID, SecretAccessKey: s.SecretAccessKey, SessionToken: s.token,
	})
	if err != nil {
		return nil, fail(exitUsage, "it looks like http://127.0.0.1:8470", "%w", err)
	}
	return c, nil
}

// lambda returns a client of the Lambda API. attempts bounds the tries of one
// call; a synchronous invocation gets one, because a second try might run the
// function twice.
func (s server) lambda(attempts int) *lambda.Client {
	return lambda.New(lambda.Options{
		BaseEndpoint: aws.String(s.Endpoint),
		Region:       s.Region,
		Credentials:  credentials.NewStaticCredentialsProvider(s.AccessKeyID, s.SecretAccessKey, s.token),
		Retryer: retry.NewStandard(func(o *retry.StandardOptions) {
			o.MaxAttempts, o.MaxBackoff = attempts, 300*time.Millisecond
		}),
		// No bound on the whole: a function may run for 15 minutes.
		HTTPClient: &http.Client{Transport: &http.Transport{
			Proxy:       http.ProxyFromEnvironment,
			DialContext: (&net.Dialer{Timeout: 5 * time.Second}).DialContext,
		}},
	})
}

// explain turns an error of a call to s into one that says what to do when
// the server could not be reached.
func (s server) explain(ctx context.Context, err error) error {
	if err == nil || ctx.Err() != nil {
		return err
	}
	var network *net.OpError
	if errors.Is(err, client.ErrUnreachable) || errors.As(err, &network) {
		return unreachable(s, err)
	}
	return err
}

// quote makes s safe to paste into a shell.
func quote(s string) string {
	if s != "" && strings.Trim(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-./:@%+=,") == "" {
		return s
	}
	return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
}
