package pool

import (
	"crypto"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"

	"github.com/celeriant/celeriant-go/internal/wire"
	"github.com/celeriant/celeriant-go/msg"
)

// ErrKey: what was given is not a key that can be used. The text never holds
// any part of it.
var ErrKey = errors.New("unusable key")

// APIKeySize is the length of an API key in bytes.
const APIKeySize = 32

// APIKey is the secret of 32 bytes that gives read-write or read-only access.
// The zero value is no key. An APIKey prints redacted, and keeps its bytes
// where not even printing by reflection finds them. Protocol section 8.3.
type APIKey struct{ reveal func() string }

// NewAPIKey returns the key made of these bytes.
func NewAPIKey(raw [APIKeySize]byte) APIKey {
	text := base64.StdEncoding.EncodeToString(raw[:])
	return APIKey{func() string { return text }}
}

// ParseAPIKey reads the standard base64 of a key; white space around it is
// ignored. The error is ErrKey.
func ParseAPIKey(text string) (APIKey, error) {
	raw, err := base64.StdEncoding.Strict().DecodeString(strings.TrimSpace(text))
	if err != nil {
		return APIKey{}, fmt.Errorf("pool: %w: an API key is standard base64", ErrKey)
	}
	if len(raw) != APIKeySize {
		return APIKey{}, fmt.Errorf("pool: %w: an API key has %d bytes, not %d", ErrKey, APIKeySize, len(raw))
	}
	return NewAPIKey([APIKeySize]byte(raw)), nil
}

// IsZero reports whether there is no key.
func (k APIKey) IsZero() bool { return k.reveal == nil }

// String tells only whether there is a key.
func (k APIKey) String() string {
	if k.IsZero() {
		return "no API key"
	}
	return "APIKey(redacted)"
}

// GoString is String.
func (k APIKey) GoString() string { return k.String() }

// LogValue is String.
func (k APIKey) LogValue() slog.Value { return slog.StringValue(k.String()) }

// KeyPair is an RSA key that proves a client id. The zero value is none. A
// KeyPair prints its client id, which is public, and is safe for concurrent
// use. Protocol section 8.2.
type KeyPair struct {
	id     msg.ID
	public string // base64 of the DER SubjectPublicKeyInfo
	sign   func(nonce string) (string, error)
}

// NewKeyPair returns the key pair of an RSA key. Of 2048 bits it fits into an
// Identify, of 3072 it does not; what does not fit, is invalid or is too weak
// to sign with is refused with ErrKey.
func NewKeyPair(private *rsa.PrivateKey) (KeyPair, error) {
	if private == nil {
		return KeyPair{}, fmt.Errorf("pool: %w: nil", ErrKey)
	}
	if err := private.Validate(); err != nil {
		return KeyPair{}, fmt.Errorf("pool: %w: not a valid RSA key", ErrKey)
	}
	der, err := x509.MarshalPKIXPublicKey(&private.PublicKey)
	if err != nil {
		return KeyPair{}, fmt.Errorf("pool: %w: its public half cannot be encoded", ErrKey)
	}
	k := KeyPair{
		id:     deriveClientID(der),
		public: base64.StdEncoding.EncodeToString(der),
		sign:   func(nonce string) (string, error) { return signNonce(private, nonce) },
	}
	if err := k.fits(); err != nil {
		return KeyPair{}, fmt.Errorf("pool: %w: of %d bits: %w", ErrKey, private.N.BitLen(), err)
	}
	return k, nil
}

// ParseKeyPair reads an RSA private key in PKCS #1 or PKCS #8 form, PEM or DER;
// in PEM the first private key counts. The error is ErrKey.
func ParseKeyPair(data []byte) (KeyPair, error) {
	der, err := firstPrivateKey(data)
	if err != nil {
		return KeyPair{}, err
	}
	if private, err := x509.ParsePKCS1PrivateKey(der); err == nil {
		return NewKeyPair(private)
	}
	parsed, err := x509.ParsePKCS8PrivateKey(der)
	if err != nil {
		return KeyPair{}, fmt.Errorf("pool: %w: neither PKCS #1 nor PKCS #8", ErrKey)
	}
	private, ok := parsed.(*rsa.PrivateKey)
	if !ok {
		return KeyPair{}, fmt.Errorf("pool: %w: a %T, not an RSA key", ErrKey, parsed)
	}
	return NewKeyPair(private)
}

// firstPrivateKey takes the DER out of PEM, if it is PEM.
func firstPrivateKey(data []byte) ([]byte, error) {
	block, rest := pem.Decode(data)
	if block == nil {
		return data, nil
	}
	for ; block != nil; block, rest = pem.Decode(rest) {
		switch {
		case block.Type == "ENCRYPTED PRIVATE KEY", block.Headers["DEK-Info"] != "":
			return nil, fmt.Errorf("pool: %w: protected by a passphrase", ErrKey)
		case block.Type == "RSA PRIVATE KEY", block.Type == "PRIVATE KEY":
			return block.Bytes, nil
		}
	}
	return nil, fmt.Errorf("pool: %w: PEM without a private key", ErrKey)
}

// ClientID is the client id the node derives from the public key. Once the key
// is proven, mutations must carry it.
func (k KeyPair) ClientID() msg.ID { return k.id }

// IsZero reports whether there is no key pair.
func (k KeyPair) IsZero() bool { return k.sign == nil }

// String returns the client id.
func (k KeyPair) String() string {
	if k.IsZero() {
		return "no key pair"
	}
	return "KeyPair(client " + k.id.String() + ")"
}

// GoString is String.
func (k KeyPair) GoString() string { return k.String() }

// LogValue is String.
func (k KeyPair) LogValue() slog.Value { return slog.StringValue(k.String()) }

// fits builds the largest Identify the key can need.
func (k KeyPair) fits() error {
	credentials := Credentials{APIKey: NewAPIKey([APIKeySize]byte{}), KeyPair: k}
	req, err := credentials.request(farFuture)
	if err != nil {
		return err
	}
	req.SetCorrelation(msg.Some(msg.ID{}))
	req.KnownDictSHA256 = msg.Some(strings.Repeat("0", 2*sha256.Size))
	for _, version := range []wire.Version{wire.V2, wire.V3} {
		if _, err := wire.AppendRequest(nil, version, req, nil, wire.FixedBodyLimit); err != nil {
			return err
		}
	}
	return nil
}

// deriveClientID is the first half of the key's hash read as a little-endian
// integer, which reverses its bytes.
func deriveClientID(der []byte) msg.ID {
	sum := sha256.Sum256(der)
	id := msg.ID(sum[:16])
	slices.Reverse(id[:])
	return id
}

func signNonce(private *rsa.PrivateKey, nonce string) (string, error) {
	digest := sha256.Sum256([]byte(nonce))
	signature, err := rsa.SignPKCS1v15(nil, private, crypto.SHA256, digest[:])
	if err != nil {
		return "", err
	}
	return base64.StdEncoding.EncodeToString(signature), nil
}
