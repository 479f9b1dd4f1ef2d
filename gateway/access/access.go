package access

import (
	"context"
	"crypto/sha1"
	"crypto/x509"
	"errors"
	"time"

	"github.com/celeriant/celeriant-go/msg"
)

// ErrUnauthenticated: the credentials are missing, unknown, wrong or expired.
// The error does not say which.
var ErrUnauthenticated = errors.New("access: not authenticated")

// ErrDenied: the principal may not do that.
var ErrDenied = errors.New("access: denied")

// Action is what a caller wants to do.
type Action uint8

// The actions.
const (
	// Read covers reads, lists and the delivery of changes.
	Read Action = iota + 1
	// Write covers appending batches.
	Write
	// Administer covers deletes, trims and the registration of schemas.
	Administer
	// Consume covers being a member of a named subscription.
	Consume
	// Operate covers releasing, skipping, adopting and deleting a named
	// subscription's state.
	Operate
)

// String returns the action in lower case.
func (a Action) String() string {
	switch a {
	case Read:
		return "read"
	case Write:
		return "write"
	case Administer:
		return "administer"
	case Consume:
		return "consume"
	case Operate:
		return "operate"
	}
	return "unknown action"
}

// Kind is the kind of a resource.
type Kind uint8

// The kinds of resources.
const (
	// Everything is the whole store.
	Everything Kind = iota + 1
	// Org is one organisation.
	Org
	// Type is one aggregate type of one organisation.
	Type
	// Subscription is one named subscription of the principal's tenant.
	Subscription
)

// Resource is what an action is done to. An aggregate is covered by its type.
type Resource struct {
	Kind Kind
	Org  msg.ID // of Org and Type
	Type msg.ID // of Type
	Name string // of Subscription, without the tenant
}

// OfOrg is the resource of an organisation.
func OfOrg(org msg.ID) Resource { return Resource{Kind: Org, Org: org} }

// OfType is the resource of a type.
func OfType(org, typ msg.ID) Resource { return Resource{Kind: Type, Org: org, Type: typ} }

// OfKey is the resource that covers an aggregate.
func OfKey(k msg.Key) Resource { return OfType(k.Org, k.Type) }

// OfSubscription is the resource of a named subscription.
func OfSubscription(name string) Resource { return Resource{Kind: Subscription, Name: name} }

// String names the resource.
func (r Resource) String() string {
	switch r.Kind {
	case Everything:
		return "everything"
	case Org:
		return "organisation " + r.Org.String()
	case Type:
		return "type " + r.Org.String() + "/" + r.Type.String()
	case Subscription:
		return "subscription " + r.Name
	}
	return "unknown resource"
}

// Principal is an authenticated caller. A Principal is a plain value.
type Principal struct {
	// Name is unique among all callers.
	Name string
	// Tenant owns the caller's named subscriptions. Default: Name.
	Tenant string
	// UserID is stored with what the caller writes. Default: derived from Name.
	UserID msg.ID
	// ActForOthers lets the caller store another user.
	ActForOthers bool
	// ClientIDs are client ids the caller may write under, beside those derived
	// from its name.
	ClientIDs []msg.ID
	// Expires is when the credential ends; zero for never.
	Expires time.Time
}

// namespace is the UUID namespace of ids that the gateway derives.
var namespace = msg.MustParseID("5a4d3c2e-7f10-4c7a-9d52-3b1f6a3e9c10")

// DerivedID is the name-based UUID (version 5) of a principal and a name of its
// choice. No other principal derives the same one.
func DerivedID(principal, name string) msg.ID {
	h := sha1.New()
	h.Write(namespace[:])
	h.Write([]byte(principal))
	h.Write([]byte{0}) // names of principals contain no NUL
	h.Write([]byte(name))
	id := msg.ID(h.Sum(nil)[:16])
	id[6] = id[6]&0x0f | 0x50
	id[8] = id[8]&0x3f | 0x80
	return id
}

// Credentials are what a caller shows.
type Credentials struct {
	// Bearer is the token of the Authorization header, empty if there is none.
	Bearer string
	// Certificate is the caller's certificate, verified against the gateway's
	// authorities; nil if there is none.
	Certificate *x509.Certificate
}

// Authenticator makes a principal of credentials, or returns an error that
// matches [ErrUnauthenticated]. An Authenticator is called often, also for streams
// that run, and is safe for concurrent use.
type Authenticator interface {
	Authenticate(ctx context.Context, c Credentials) (Principal, error)
}

// Authorizer answers nil if the principal may do the action to the resource, and
// an error that matches [ErrDenied] otherwise. An Authorizer is safe for
// concurrent use.
type Authorizer interface {
	Authorize(ctx context.Context, p Principal, a Action, r Resource) error
}

// Reloader is an Authenticator or Authorizer whose answers may change. Changed
// returns a channel that is closed when they next do.
type Reloader interface {
	Changed() <-chan struct{}
}
