package celerianttest

import (
	"bufio"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/celeriant/celeriant-go/celerianttest/internal/refusal"
	"github.com/celeriant/celeriant-go/msg"
)

// APIKeys are the hashes of up to four API keys, two that may write and two
// that may only read: lower-case hexadecimal SHA-256 of the 32 bytes of the
// key, "" for none. [HashAPIKey] makes one. Protocol section 8.3.
type APIKeys struct {
	PrimaryRW, SecondaryRW string
	PrimaryRO, SecondaryRO string
}

// apiKeySize is the length of an API key in bytes.
const apiKeySize = 32

// HashAPIKey returns what [APIKeys] holds of a key.
func HashAPIKey(key [apiKeySize]byte) string {
	sum := sha256.Sum256(key[:])
	return hex.EncodeToString(sum[:])
}

func (k APIKeys) any() bool { return k != APIKeys{} }

func (k APIKeys) check() error {
	for _, hash := range []string{k.PrimaryRW, k.SecondaryRW, k.PrimaryRO, k.SecondaryRO} {
		if raw, err := hex.DecodeString(hash); err != nil || (hash != "" && len(raw) != sha256.Size) {
			return &OptionError{"APIKeys", fmt.Sprintf("%q is not the hexadecimal SHA-256 of a key", hash)}
		}
	}
	return nil
}

// level returns what a key as sent by a client allows, or why it is refused.
func (k APIKeys) level(sent msg.Opt[string]) (msg.AccessLevel, *refusal.Refusal) {
	text, ok := sent.Get()
	if !ok {
		return 0, refusal.New(msg.CodeAPIKeyRequired, "API key required but not provided")
	}
	raw, err := base64.StdEncoding.DecodeString(text)
	switch {
	case err != nil:
		return 0, refusal.New(msg.CodeAPIKeyInvalid, "Invalid API key format")
	case len(raw) != apiKeySize:
		return 0, refusal.New(msg.CodeAPIKeyInvalid, "Invalid API key length")
	}
	hash := HashAPIKey([apiKeySize]byte(raw))
	switch {
	case sameHash(hash, k.PrimaryRW), sameHash(hash, k.SecondaryRW):
		return msg.ReadWrite, nil
	case sameHash(hash, k.PrimaryRO), sameHash(hash, k.SecondaryRO):
		return msg.ReadOnly, nil
	}
	return 0, refusal.New(msg.CodeAPIKeyInvalid, "Invalid API key")
}

func sameHash(sent, stored string) bool {
	return subtle.ConstantTimeCompare([]byte(sent), []byte(strings.ToLower(stored))) == 1
}

// readAPIKeys reads the api_keys.toml of a data folder; without the file there
// are no keys.
func readAPIKeys(folder string) (APIKeys, error) {
	path := filepath.Join(folder, "api_keys.toml")
	file, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return APIKeys{}, nil
	}
	if err != nil {
		return APIKeys{}, fmt.Errorf("celerianttest: reading the API keys: %w", err)
	}
	defer file.Close()
	var keys APIKeys
	lines := bufio.NewScanner(file)
	section := ""
	for number := 1; lines.Scan(); number++ {
		if err := keys.readLine(lines.Text(), &section); err != nil {
			return APIKeys{}, fmt.Errorf("celerianttest: %s, line %d: %w", path, number, err)
		}
	}
	if err := lines.Err(); err != nil {
		return APIKeys{}, fmt.Errorf("celerianttest: reading %s: %w", path, err)
	}
	return keys, keys.check()
}

// readLine takes in one line of the subset of TOML such a file consists of:
// sections, names with quoted texts, comments.
func (k *APIKeys) readLine(line string, section *string) error {
	line, _, _ = strings.Cut(line, "#")
	line = strings.TrimSpace(line)
	if line == "" {
		return nil
	}
	if strings.HasPrefix(line, "[") && strings.HasSuffix(line, "]") {
		*section = strings.TrimSpace(line[1 : len(line)-1])
		return nil
	}
	if *section != "keys" {
		return nil
	}
	name, value, ok := strings.Cut(line, "=")
	value = strings.TrimSpace(value)
	quoted := len(value) >= 2 && value[0] == value[len(value)-1] && (value[0] == '"' || value[0] == '\'')
	if !ok || !quoted {
		return fmt.Errorf("%q is not name = \"hash\"", line)
	}
	into := map[string]*string{
		"primary_rw": &k.PrimaryRW, "secondary_rw": &k.SecondaryRW,
		"primary_ro": &k.PrimaryRO, "secondary_ro": &k.SecondaryRO,
	}[strings.TrimSpace(name)]
	if into == nil {
		return fmt.Errorf("%q is no name of a key", strings.TrimSpace(name))
	}
	*into = value[1 : len(value)-1]
	return nil
}
