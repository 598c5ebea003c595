package code

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"thermocline"
)

// The layout of the cache's directory: <hash in hex>-<random>/task is a
// package, complete if and only if mark.json lies beside it. The directory of a
// package has the time of its making, and boot the identity of the kernel's
// run: what was unpacked before the machine went down was never synced and is
// not trusted.
const (
	taskName = "task"
	markName = "mark.json"
	bootName = "boot"
	tmpName  = "tmp"
)

// bootFile tells one run of the kernel from another.
const bootFile = "/proc/sys/kernel/random/boot_id"

type mark struct {
	SHA256 string `json:"sha256"`
	Size   int64  `json:"size"` // bytes of disk, about
}

// fetch gets a package, verifies it and unpacks it to a directory of its own.
func (c *Cache) fetch(ctx context.Context, sha string) (home string, size int64, err error) {
	tmp, err := os.MkdirTemp(filepath.Join(c.dir, tmpName), "")
	if err != nil {
		return "", 0, fmt.Errorf("code: make a directory: %w", err)
	}
	defer func() {
		if err != nil {
			os.RemoveAll(tmp)
		}
	}()
	if err := os.Chmod(tmp, dirMode); err != nil {
		return "", 0, fmt.Errorf("code: make a directory: %w", err)
	}
	zipName := filepath.Join(tmp, "code.zip")
	n, err := c.download(ctx, sha, zipName)
	if err != nil {
		return "", 0, err
	}
	if size, err = c.unzip(ctx, zipName, n, filepath.Join(tmp, taskName)); err != nil {
		return "", 0, err
	}
	if err := os.Remove(zipName); err != nil {
		return "", 0, fmt.Errorf("code: remove the zip: %w", err)
	}
	m, err := json.Marshal(mark{SHA256: sha, Size: size})
	if err == nil {
		err = os.WriteFile(filepath.Join(tmp, markName), m, 0o644)
	}
	if err != nil {
		return "", 0, fmt.Errorf("code: mark a directory as complete: %w", err)
	}
	raw, err := base64.StdEncoding.DecodeString(sha)
	if err != nil {
		return "", 0, fmt.Errorf("code: decode a hash: %w", err)
	}
	home = filepath.Join(c.dir, hex.EncodeToString(raw)+"-"+filepath.Base(tmp))
	if err := os.Rename(tmp, home); err != nil {
		return "", 0, fmt.Errorf("code: put a directory in place: %w", err)
	}
	return home, size, nil
}

// download copies a package to a file and compares its hash.
func (c *Cache) download(ctx context.Context, sha, name string) (int64, error) {
	r, err := c.open(ctx, sha)
	if err != nil {
		return 0, err
	}
	defer r.Close()
	f, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return 0, fmt.Errorf("code: store the zip: %w", err)
	}
	h := sha256.New()
	n, err := io.Copy(io.MultiWriter(f, h), io.LimitReader(r, MaxUnzipped+1))
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	if err != nil {
		return 0, fmt.Errorf("code: fetch the zip: %w", err)
	}
	if n > MaxUnzipped || base64.StdEncoding.EncodeToString(h.Sum(nil)) != sha {
		return 0, thermocline.Errorf(thermocline.KindInternal, "The stored code is not what was uploaded.")
	}
	return n, nil
}

func (c *Cache) unzip(ctx context.Context, name string, n int64, dir string) (int64, error) {
	f, err := os.Open(name)
	if err != nil {
		return 0, fmt.Errorf("code: open the zip: %w", err)
	}
	defer f.Close()
	size, err := unpack(ctx, f, n, dir)
	var own *thermocline.Error
	if errors.As(err, &own) && own.Kind == thermocline.KindInvalidParameter {
		return 0, thermocline.WithCause(thermocline.KindInvalidZip, err, "Lambda could not unzip the deployment package.")
	}
	if err != nil {
		return 0, fmt.Errorf("code: unpack: %w", err)
	}
	return size, nil
}

// recover reads what an earlier run has left: complete packages are kept, from
// the oldest to the youngest, the rest goes.
func (c *Cache) recover() error {
	if err := os.MkdirAll(c.dir, dirMode); err != nil {
		return err
	}
	if err := os.RemoveAll(filepath.Join(c.dir, tmpName)); err != nil {
		return err
	}
	if err := os.Mkdir(filepath.Join(c.dir, tmpName), 0o700); err != nil {
		return err
	}
	boot, err := os.ReadFile(bootFile)
	if err != nil {
		return err
	}
	before, err := os.ReadFile(filepath.Join(c.dir, bootName))
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	trusted := string(before) == string(boot)
	entries, err := os.ReadDir(c.dir)
	if err != nil {
		return err
	}
	type found struct {
		*content
		made time.Time
	}
	var all []found
	for _, e := range entries {
		if !e.IsDir() || e.Name() == tmpName || !ours(e.Name()) {
			continue // not ours: left alone
		}
		home := filepath.Join(c.dir, e.Name())
		p, made, ok := readMark(home)
		if !trusted || !ok {
			if err := os.RemoveAll(home); err != nil {
				return err
			}
			continue
		}
		all = append(all, found{p, made})
	}
	slices.SortFunc(all, func(a, b found) int { return a.made.Compare(b.made) })
	for _, f := range all {
		if c.held[f.sha] != nil { // unpacked twice; one is enough
			if err := os.RemoveAll(f.home); err != nil {
				return err
			}
			continue
		}
		c.clock++
		f.used = c.clock
		close(f.done)
		c.held[f.sha] = f.content
		c.total += f.size
	}
	if trusted {
		return nil
	}
	// Last: what is not trusted is gone by now.
	return os.WriteFile(filepath.Join(c.dir, bootName), boot, 0o600)
}

// ours reports whether a name is a package's.
func ours(name string) bool {
	sum, _, ok := strings.Cut(name, "-")
	if !ok || len(sum) != 64 {
		return false
	}
	_, err := hex.DecodeString(sum)
	return err == nil
}

func readMark(home string) (*content, time.Time, bool) {
	name := filepath.Join(home, markName)
	info, err := os.Stat(name)
	if err != nil {
		return nil, time.Time{}, false
	}
	b, err := os.ReadFile(name)
	if err != nil {
		return nil, time.Time{}, false
	}
	var m mark
	raw, _, _ := strings.Cut(filepath.Base(home), "-")
	if json.Unmarshal(b, &m) != nil || m.Size < 0 || hexOf(m.SHA256) != raw {
		return nil, time.Time{}, false
	}
	return &content{sha: m.SHA256, size: m.Size, home: home, done: make(chan struct{})}, info.ModTime(), true
}

func hexOf(sha string) string {
	raw, err := base64.StdEncoding.DecodeString(sha)
	if err != nil {
		return ""
	}
	return hex.EncodeToString(raw)
}
