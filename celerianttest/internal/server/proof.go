package server

import (
	"crypto"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"math"
	"slices"
	"strconv"
	"time"

	"github.com/celeriant/celeriant-go/celerianttest/internal/refusal"
	"github.com/celeriant/celeriant-go/msg"
)

// How far a nonce may lie from the node's clock. Server semantics 1.3.
const (
	nonceMaxAge    = 2 * time.Minute
	nonceMaxFuture = time.Minute
)

// proveIdentity checks the RSA part of an Identify and returns the client id
// that follows from the key. Without all three of key, nonce and signature
// there is nothing to check. The nonce is looked at before the signature.
// Protocol section 8.2.
func proveIdentity(r *msg.IdentifyRequest, now time.Time) (msg.Opt[msg.ID], *refusal.Refusal) {
	if !r.PublicKey.Set || !r.Nonce.Set || !r.Signature.Set {
		return msg.None[msg.ID](), nil
	}
	if !nonceInWindow(r.Nonce.Value, now) {
		return msg.None[msg.ID](), refusal.New(msg.CodeNonce, "Nonce expired or too far in the future")
	}
	der, err := base64.StdEncoding.DecodeString(r.PublicKey.Value)
	if err != nil || !signedBy(der, r.Nonce.Value, r.Signature.Value) {
		return msg.None[msg.ID](), refusal.New(msg.CodeSignature, "Invalid signature")
	}
	return msg.Some(derivedClientID(der)), nil
}

func nonceInWindow(nonce string, now time.Time) bool {
	at, err := strconv.ParseUint(nonce, 10, 64)
	if err != nil || at > math.MaxInt64 {
		return false
	}
	age := now.UnixMilli() - int64(at)
	return age <= nonceMaxAge.Milliseconds() && -age <= nonceMaxFuture.Milliseconds()
}

func signedBy(der []byte, nonce, signature string) bool {
	key, err := x509.ParsePKIXPublicKey(der)
	if err != nil {
		return false
	}
	public, ok := key.(*rsa.PublicKey)
	if !ok {
		return false
	}
	raw, err := base64.StdEncoding.DecodeString(signature)
	if err != nil {
		return false
	}
	digest := sha256.Sum256([]byte(nonce))
	return rsa.VerifyPKCS1v15(public, crypto.SHA256, digest[:], raw) == nil
}

// derivedClientID reads the first half of the key's hash as a little-endian
// integer, which reverses its bytes.
func derivedClientID(der []byte) msg.ID {
	sum := sha256.Sum256(der)
	id := msg.ID(sum[:16])
	slices.Reverse(id[:])
	return id
}
