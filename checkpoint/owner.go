package checkpoint

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"fmt"
)

// Owner is a claim: the right to save the cursors of one subscription, or of one
// partition of it. Acquire hands out the former; it is a plain value that may be
// copied and used from any goroutine. The right ends when somebody claims the
// same again or deletes the subscription.
type Owner struct {
	Name string
	// Epoch counts the claims. Together with Token it tells them apart.
	Epoch uint64
	// Token is random: a store that was restored from a backup, or promoted
	// from a replica that lost the last writes, hands out the same epochs again,
	// but not the same tokens.
	Token Token
	// Leased tells that the claim is of one partition instead of the whole.
	Leased bool
	// Partition is the partition's number; it counts only if Leased.
	Partition uint32
}

type ownerKey struct{}

// ContextWithOwner returns a context that carries the claim under which a change is
// handled. Loops that call handlers make it.
func ContextWithOwner(ctx context.Context, owner Owner) context.Context {
	return context.WithValue(ctx, ownerKey{}, owner)
}

// OwnerFromContext returns the claim under which the change at hand was delivered, from
// the context of a handler; ok is false outside of handlers, and for subscriptions that
// keep no position. The claim is a fencing token: its Epoch grows
// with each owner of the subscription, or of the partition. A service that refuses smaller
// epochs than it has seen is safe from an owner that was replaced and does not know it yet.
func OwnerFromContext(ctx context.Context) (owner Owner, ok bool) {
	owner, ok = ctx.Value(ownerKey{}).(Owner)
	return owner, ok
}

// Token is 128 random bits, written as 32 hexadecimal digits.
type Token [16]byte

// NewToken draws a token.
func NewToken() Token {
	var t Token
	_, _ = rand.Read(t[:]) // never fails
	return t
}

// String returns the digits.
func (t Token) String() string { return hex.EncodeToString(t[:]) }

// MarshalText returns the digits.
func (t Token) MarshalText() ([]byte, error) { return hex.AppendEncode(nil, t[:]), nil }

// UnmarshalText reads what MarshalText wrote.
func (t *Token) UnmarshalText(text []byte) error {
	var read Token
	if hex.DecodedLen(len(text)) != len(read) || len(text)%2 != 0 {
		return fmt.Errorf("checkpoint: token of %d digits instead of %d", len(text), 2*len(read))
	}
	if _, err := hex.Decode(read[:], text); err != nil {
		return fmt.Errorf("checkpoint: token: %w", err)
	}
	*t = read
	return nil
}

// Ownership is what a store holds of a subscription beside its cursors and
// records. Its methods are the rules of claims and fences; every store decides
// by them and writes none of its own.
type Ownership struct {
	// Epoch and Token are of the newest claim of the whole subscription. Claims
	// that releases before tokens made have the zero Token.
	Epoch uint64
	Token Token
	// Claimed is false after a deletion: there is no scope then, and any fits.
	Claimed bool
	Scope   string
}

// Claim decides what a claim makes of the ownership, and whether it changes the
// scope, so that the partitions' records have to go. token is the new owner's.
func (o Ownership) Claim(c Claim, token Token) (next Ownership, rescoped bool, err error) {
	rescoped = o.Claimed && o.Scope != c.Scope
	if rescoped && !c.replaces(o.Scope) {
		if err := superseded(c.Name, o.Scope); err != nil {
			return Ownership{}, false, err // adopting does not undo a cut-over
		}
	}
	if rescoped && !c.Adopt && !c.replaces(o.Scope) {
		return Ownership{}, false, &ScopeError{Name: c.Name, Stored: o.Scope, Wanted: c.Scope}
	}
	return Ownership{Epoch: o.Epoch + 1, Token: token, Claimed: true, Scope: c.Scope}, rescoped, nil
}

// Delete returns the ownership after a deletion.
func (o Ownership) Delete() Ownership { return Ownership{Epoch: o.Epoch + 1} }

// Owner returns the owner that the newest claim made.
func (o Ownership) Owner(name string) Owner {
	return Owner{Name: name, Epoch: o.Epoch, Token: o.Token}
}

// Check is the fence: it returns a [*FencedError] unless owner is the newest of
// its subscription or, if it is leased, of its partition, whose record has the
// value partition; nil means that there is none.
func (o Ownership) Check(owner Owner, partition []byte) error {
	switch {
	case !o.Claimed:
		return &FencedError{Owner: owner, Newest: o.Epoch, Deleted: o.Epoch > 0}
	case !owner.Leased:
		if o.Epoch != owner.Epoch || o.Token != owner.Token {
			return &FencedError{Owner: owner, Newest: o.Epoch}
		}
		return nil
	case partition == nil:
		return &FencedError{Owner: owner}
	}
	r, err := ParsePartition(partition)
	if err != nil {
		return err
	}
	return r.Check(owner)
}
