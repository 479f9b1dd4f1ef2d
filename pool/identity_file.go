package pool

import (
	"context"
	"fmt"
	"io"
	"os"
	"time"
)

// largestCredential bounds a credential file, in bytes.
const largestCredential = 1 << 20

// farFuture is later than any nonce, and so at least as long in digits.
var farFuture = time.UnixMilli(99_999_999_999_999)

// FileIdentity reads the API key, in base64, and the RSA private key from
// files, anew for each connection, so that replacing a file is all it takes to
// rotate. Either path may be empty. Replace files by renaming: a half-written
// one is refused.
func FileIdentity(apiKeyPath, keyPairPath string) Identity {
	return func(context.Context) (Credentials, error) {
		var c Credentials
		if apiKeyPath != "" {
			text, err := readCredential(apiKeyPath)
			if err != nil {
				return Credentials{}, err
			}
			if c.APIKey, err = ParseAPIKey(string(text)); err != nil {
				return Credentials{}, fmt.Errorf("%s: %w", apiKeyPath, err)
			}
		}
		if keyPairPath != "" {
			data, err := readCredential(keyPairPath)
			if err != nil {
				return Credentials{}, err
			}
			if c.KeyPair, err = ParseKeyPair(data); err != nil {
				return Credentials{}, fmt.Errorf("%s: %w", keyPairPath, err)
			}
		}
		return c, nil
	}
}

// readCredential reads a file that holds a key or certificates.
func readCredential(path string) ([]byte, error) { return readBounded(path, largestCredential) }

// readBounded reads a regular file of at most limit bytes. Others, pipes say, might
// keep whoever opens them waiting for ever.
func readBounded(path string, limit int64) ([]byte, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%s: not a regular file", path)
	}
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	content, err := io.ReadAll(io.LimitReader(file, limit+1))
	if err != nil {
		return nil, err
	}
	if int64(len(content)) > limit {
		return nil, fmt.Errorf("%s: more than %d bytes", path, limit)
	}
	return content, nil
}
