package pool

import (
	"context"
	"fmt"
	"time"
)

// farFuture is later than any nonce, and so at least as long in digits.
var farFuture = time.UnixMilli(99_999_999_999_999)

// FileIdentity reads the API key, in base64, and the RSA private key from
// files, anew for each connection, so that replacing a file is all it takes to
// rotate. Either path may be empty. Replace files by renaming: a half-written
// one is refused, and so is one that others on the machine may read (see
// [AllowReadableKeys]). A named pipe is read once.
func FileIdentity(apiKeyPath, keyPairPath string, options ...FileOption) Identity {
	apiKey := newCredentialFile(apiKeyPath, true, options)
	keyPair := newCredentialFile(keyPairPath, true, options)
	return func(ctx context.Context) (Credentials, error) {
		var c Credentials
		if apiKeyPath != "" {
			text, err := apiKey.read(ctx)
			if err != nil {
				return Credentials{}, err
			}
			if c.APIKey, err = ParseAPIKey(string(text)); err != nil {
				return Credentials{}, fmt.Errorf("%s: %w", apiKeyPath, err)
			}
		}
		if keyPairPath != "" {
			data, err := keyPair.read(ctx)
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
