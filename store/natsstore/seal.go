package natsstore

import (
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

const (
	keySize = 32 // bytes: AES-256

	// sealVersion is the first byte of what is sealed.
	sealVersion = 1

	checkKey  = "seal"
	checkText = "thermocline"
)

// sealer encrypts what must not be read from the disk. What it seals names its
// place, so that it opens only there.
type sealer struct{ aead cipher.AEAD }

// openSealer reads the key file, or makes it when the store is new, and proves
// that it is the one that the store was made with.
func openSealer(ctx context.Context, b *bucket, file string) (*sealer, error) {
	check, err := b.get(ctx, checkKey)
	if err != nil {
		return nil, fmt.Errorf("natsstore: %w", err)
	}
	key, err := readKey(file)
	if errors.Is(err, fs.ErrNotExist) {
		if !check.deleted {
			return nil, fmt.Errorf("natsstore: the key file %s is missing, and without it the secrets of this store cannot be read: put it back", file)
		}
		key, err = makeKey(file)
	}
	if err != nil {
		return nil, err
	}
	s, err := newSealer(key)
	if err != nil {
		return nil, err
	}
	if check.deleted {
		_, err = b.put(ctx, checkKey, s.seal(checkKey, []byte(checkText)), check.rev)
		if err == nil {
			return s, nil
		}
		if !errors.Is(err, errConflict) {
			return nil, fmt.Errorf("natsstore: %w", err)
		}
		if check, err = b.get(ctx, checkKey); err != nil { // another node was faster
			return nil, fmt.Errorf("natsstore: %w", err)
		}
	}
	if text, err := s.open(checkKey, check.value); err != nil || string(text) != checkText {
		return nil, fmt.Errorf("natsstore: the key file %s is not the one that this store was made with: put that one back", file)
	}
	return s, nil
}

func newSealer(key []byte) (*sealer, error) {
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, fmt.Errorf("natsstore: %w", err)
	}
	aead, err := cipher.NewGCMWithRandomNonce(block)
	if err != nil {
		return nil, fmt.Errorf("natsstore: %w", err)
	}
	return &sealer{aead: aead}, nil
}

func (s *sealer) seal(place string, text []byte) []byte {
	return s.aead.Seal([]byte{sealVersion}, nil, text, []byte(place))
}

func (s *sealer) open(place string, sealed []byte) ([]byte, error) {
	if len(sealed) < 1 || sealed[0] != sealVersion {
		return nil, errors.New("sealed by another version of the program")
	}
	text, err := s.aead.Open(nil, nil, sealed[1:], []byte(place))
	if err != nil {
		return nil, errors.New("sealed with another key, or changed since")
	}
	return text, nil
}

// readKey refuses a file that others than its owner may use.
func readKey(file string) ([]byte, error) {
	info, err := os.Stat(file)
	if err != nil {
		return nil, fmt.Errorf("natsstore: read the key file: %w", err)
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("natsstore: the key file %s is not a regular file", file)
	}
	if info.Mode().Perm()&0o077 != 0 {
		return nil, fmt.Errorf("natsstore: the key file can be used by others than its owner (mode %04o): run chmod 600 %s", info.Mode().Perm(), file)
	}
	if info.Size() > 1024 {
		return nil, fmt.Errorf("natsstore: the key file %s is too large to be one", file)
	}
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("natsstore: read the key file: %w", err)
	}
	key, err := hex.DecodeString(strings.TrimSpace(string(text)))
	if err != nil || len(key) != keySize {
		return nil, fmt.Errorf("natsstore: the key file %s does not hold %d hex digits", file, 2*keySize)
	}
	return key, nil
}

// makeKey writes a new key, complete or not at all; when another process is
// faster, its key counts.
func makeKey(file string) ([]byte, error) {
	key := make([]byte, keySize)
	rand.Read(key) // never fails
	dir := filepath.Dir(file)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("natsstore: make the key file: %w", err)
	}
	tmp, err := os.CreateTemp(dir, ".key-*") // mode 0600
	if err != nil {
		return nil, fmt.Errorf("natsstore: make the key file: %w", err)
	}
	defer os.Remove(tmp.Name())
	_, err = tmp.WriteString(hex.EncodeToString(key) + "\n")
	if err == nil {
		err = tmp.Sync()
	}
	if cerr := tmp.Close(); err == nil {
		err = cerr
	}
	if err == nil {
		err = os.Link(tmp.Name(), file) // fails where the file exists
	}
	if errors.Is(err, fs.ErrExist) {
		return readKey(file)
	}
	if err == nil {
		err = syncDir(dir)
	}
	if err != nil {
		return nil, fmt.Errorf("natsstore: make the key file: %w", err)
	}
	return key, nil
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	return d.Sync()
}
