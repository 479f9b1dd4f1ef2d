package access

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"strings"
)

// minSecret is the length of 128 random bits in base64.
const minSecret = 22

// CheckKeyID refuses an id that cannot begin a token.
func CheckKeyID(id string) error {
	if id == "" || strings.ContainsFunc(id, func(r rune) bool { return r == '.' || r <= ' ' || r > '~' }) {
		return fmt.Errorf("the id of a key is %q: want printable ASCII without dot and space", id)
	}
	return nil
}

// NewKey draws a key of 256 random bits and returns the token for the caller and
// the hash for the file. The token is shown once and stored nowhere.
func NewKey(id string) (token, hash string) {
	var random [32]byte
	_, _ = rand.Read(random[:]) // never fails
	secret := base64.RawURLEncoding.EncodeToString(random[:])
	sum := sha256.Sum256([]byte(secret))
	return id + "." + secret, hex.EncodeToString(sum[:])
}
