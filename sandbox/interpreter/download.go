package interpreter

import (
	"context"
	"crypto/sha512"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"
)

// Bounds of one package, far above what Node.js has (32 MB packed).
const (
	maxPackage      = 256 << 20 // bytes, compressed
	downloadTimeout = 15 * time.Minute
)

// download writes the release's package to file, and returns an error unless
// all of it came and is what the registry's SHA-512 says.
func (r *registry) download(ctx context.Context, rel release, file *os.File, progress func(done, total int64)) error {
	want, err := parseIntegrity(rel.integrity)
	if err != nil {
		return fmt.Errorf("%s %s: %w", rel.name, rel.version, err)
	}
	ctx, cancel := context.WithTimeout(ctx, downloadTimeout)
	defer cancel()
	body, total, err := r.open(ctx, rel)
	if err != nil {
		return err
	}
	defer body.Close()

	hash := sha512.New()
	counter := &counter{progress: progress, total: total}
	n, err := io.Copy(io.MultiWriter(file, hash, counter), io.LimitReader(body, maxPackage+1))
	if err != nil {
		return fmt.Errorf("downloading %s %s: %w", rel.name, rel.version, err)
	}
	if n > maxPackage {
		return fmt.Errorf("%s %s is larger than %d bytes", rel.name, rel.version, int64(maxPackage))
	}
	if subtle.ConstantTimeCompare(hash.Sum(nil), want) != 1 {
		return fmt.Errorf("%s %s is not what the registry's integrity says: %w", rel.name, rel.version, errIntegrity)
	}
	if progress != nil {
		progress(n, n)
	}
	return nil
}

var errIntegrity = errors.New("SHA-512 differs")

// open starts the download. total is -1 when the registry does not say.
func (r *registry) open(ctx context.Context, rel release) (body io.ReadCloser, total int64, err error) {
	body, length, err := r.get(ctx, rel.tarball, "*/*")
	if err != nil {
		return nil, 0, err
	}
	if length > maxPackage {
		body.Close()
		return nil, 0, fmt.Errorf("%s %s is larger than %d bytes", rel.name, rel.version, int64(maxPackage))
	}
	return body, length, nil
}

// parseIntegrity returns the SHA-512 of a subresource integrity string, which
// may hold several hashes. Weaker ones do not do.
func parseIntegrity(integrity string) ([]byte, error) {
	for _, one := range strings.Fields(integrity) {
		encoded, ok := strings.CutPrefix(one, "sha512-")
		if !ok {
			continue
		}
		encoded, _, _ = strings.Cut(encoded, "?") // options, which none are defined for
		sum, err := base64.StdEncoding.DecodeString(encoded)
		if err != nil || len(sum) != sha512.Size {
			return nil, fmt.Errorf("the registry's integrity %.120q is damaged", one)
		}
		return sum, nil
	}
	return nil, errors.New("the registry gives no SHA-512 for it")
}

// counter reports progress, at most once a megabyte.
type counter struct {
	progress          func(done, total int64)
	done, said, total int64
}

func (c *counter) Write(p []byte) (int, error) {
	c.done += int64(len(p))
	if c.progress != nil && c.done-c.said >= 1<<20 {
		c.said = c.done
		c.progress(c.done, c.total)
	}
	return len(p), nil
}
