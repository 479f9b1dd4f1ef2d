package gateway

import (
	"fmt"
	"slices"
	"time"

	"google.golang.org/grpc/codes"

	"github.com/celeriant/celeriant-go/checkpoint"
	"github.com/celeriant/celeriant-go/gateway/access"
	pb "github.com/celeriant/celeriant-go/gateway/gatewaypb"
	"github.com/celeriant/celeriant-go/gateway/internal/convert"
	"github.com/celeriant/celeriant-go/gateway/internal/delivery"
	"github.com/celeriant/celeriant-go/stream"
)

// features are what a client may require.
var features = []string{"client-held", "named", "no-position", "hold", "parts", "started", "verdicts"}

// holder is who keeps the position.
type holder uint8

const (
	byNobody holder = iota
	byClient
	byGateway
)

// config is an Open that was checked and completed.
type config struct {
	scope        stream.Scope
	holder       holder
	start        stream.Start
	live         bool // nothing that was there before is read
	continuation stream.Continuation
	credit       delivery.Limits
	// name is the named position's, with its tenant; "" without one.
	name       string
	member     string
	partitions uint32
	adopt      bool
	progress   time.Duration
	maxMessage int
	maxBatch   int
	effective  *pb.Open
}

const (
	defaultOutstandingChanges = 1000
	defaultOutstandingBytes   = 4 << 20
	defaultMessageBytes       = 1 << 20
	smallestMessageBytes      = 64 << 10
	largestMessageBytes       = 16 << 20
	defaultBatchBytes         = 64 << 20
)

// configure checks an Open and completes it.
func configure(open *pb.Open, limits Limits) (*config, error) {
	for _, f := range open.RequiredFeatures {
		if !slices.Contains(features, f) {
			return nil, &refusal{code: codes.FailedPrecondition, reason: "FEATURE",
				text: fmt.Sprintf("the feature %q is not known: the gateway has %v", f, features)}
		}
	}
	scope, err := convert.Scope(open.Scope, limits.ScopeMembers)
	if err != nil {
		return nil, invalid(err)
	}
	c := &config{scope: scope}
	if err := c.position(open); err != nil {
		return nil, err
	}
	if err := c.sizes(open, limits); err != nil {
		return nil, err
	}
	c.effective = c.echo(open)
	return c, nil
}

func (c *config) position(open *pb.Open) error {
	switch open.Position.(type) {
	case *pb.Open_None:
		c.holder, c.live = byNobody, true
	case *pb.Open_ClientHeld:
		c.holder, c.start = byClient, stream.FromBeginning
	case *pb.Open_Named:
		c.holder, c.start = byGateway, stream.FromBeginning
		if err := c.named(open.GetNamed()); err != nil {
			return err
		}
	default:
		return invalid(fmt.Errorf("position is missing: choose named, client_held or none"))
	}
	if open.Start != nil {
		c.live = *open.Start == pb.Start_START_LIVE_ONLY
		switch *open.Start {
		case pb.Start_START_FROM_BEGINNING, pb.Start_START_LIVE_ONLY:
			c.start = stream.FromBeginning
		case pb.Start_START_FROM_NOW:
			c.start = stream.FromNow
		default:
			return invalid(fmt.Errorf("start is %v: want FROM_BEGINNING, FROM_NOW or LIVE_ONLY", *open.Start))
		}
	}
	if c.live && c.holder != byNobody {
		return invalid(fmt.Errorf("start is LIVE_ONLY, which keeps no position: want position none"))
	}
	if c.live {
		c.start = stream.LiveOnly
	}
	if c.holder == byGateway && c.start != stream.FromBeginning {
		return invalid(fmt.Errorf("start is %v: a named subscription starts from the beginning", *open.Start))
	}
	switch open.GetContinuation() {
	case pb.Continuation_CONTINUATION_UNSPECIFIED:
		if open.Continuation != nil {
			return invalid(fmt.Errorf("continuation is unspecified: want REPLAY or CONTINUE_ONLY"))
		}
		c.continuation = stream.Replay
	case pb.Continuation_CONTINUATION_REPLAY:
		c.continuation = stream.Replay
	case pb.Continuation_CONTINUATION_CONTINUE_ONLY:
		c.continuation = stream.ContinueOnly
	default:
		return invalid(fmt.Errorf("continuation is %v: want REPLAY or CONTINUE_ONLY", *open.Continuation))
	}
	return nil
}

const (
	longestName      = 200
	largestPartition = 4096
	defaultProgress  = 5 * time.Minute
	shortestProgress = 10 * time.Second
)

// named reads a named position. The tenant is added when the caller is known.
func (c *config) named(n *pb.Named) error {
	if err := checkSubscriptionName("named.name", n.GetName()); err != nil {
		return err
	}
	if err := checkpoint.CheckName(orDefault(n.GetMemberId(), "x")); err != nil {
		return invalid(fmt.Errorf("named.member_id: %w", err))
	}
	c.name, c.member, c.partitions, c.adopt = n.GetName(), n.GetMemberId(), n.GetPartitions(), n.GetAdoptScope()
	if c.partitions > largestPartition {
		return invalid(fmt.Errorf("named.partitions is %d: want at most %d", c.partitions, largestPartition))
	}
	c.progress = defaultProgress
	if n.GetProgressTimeout() != nil {
		c.progress = n.GetProgressTimeout().AsDuration()
	}
	if c.progress < shortestProgress {
		return invalid(fmt.Errorf("named.progress_timeout is %v: want at least %v", c.progress, shortestProgress))
	}
	return nil
}

// sizes completes the credit. A larger one than the gateway grants is cut, which
// the echo tells.
func (c *config) sizes(open *pb.Open, limits Limits) error {
	c.credit = delivery.Limits{
		Changes: min(int(orDefault(open.MaxOutstandingChanges, defaultOutstandingChanges)), limits.OutstandingChanges),
		Bytes:   int64(min(orDefault(open.MaxOutstandingBytes, defaultOutstandingBytes), uint64(limits.OutstandingBytes))),
	}
	if n := open.MaxMessageBytes; n > 0 && n < smallestMessageBytes {
		return invalid(fmt.Errorf("max_message_bytes is %d: want at least %d", n, smallestMessageBytes))
	}
	c.maxMessage = min(int(orDefault(open.MaxMessageBytes, defaultMessageBytes)), largestMessageBytes)
	c.maxBatch = int(min(orDefault(open.MaxBatchBytes, defaultBatchBytes), defaultBatchBytes))
	return nil
}

// echo is the Open in effect, with every option set.
func (c *config) echo(open *pb.Open) *pb.Open {
	start := pb.Start_START_FROM_BEGINNING
	switch {
	case c.live:
		start = pb.Start_START_LIVE_ONLY
	case c.start == stream.FromNow:
		start = pb.Start_START_FROM_NOW
	}
	continuation := pb.Continuation_CONTINUATION_REPLAY
	if c.continuation == stream.ContinueOnly {
		continuation = pb.Continuation_CONTINUATION_CONTINUE_ONLY
	}
	return &pb.Open{
		Scope:                 open.Scope,
		Position:              open.Position,
		Start:                 &start,
		Continuation:          &continuation,
		MaxOutstandingChanges: uint32(c.credit.Changes),
		MaxOutstandingBytes:   uint64(c.credit.Bytes),
		MaxMessageBytes:       uint32(c.maxMessage),
		MaxBatchBytes:         uint64(c.maxBatch),
		RequiredFeatures:      open.RequiredFeatures,
	}
}

// resources are what the caller must be allowed to read. A scope is refused as a
// whole, never narrowed.
func (c *config) resources() []access.Resource { return scopeResources(c.scope) }

func scopeResources(scope stream.Scope) []access.Resource {
	if scope.IsEverything() {
		return []access.Resource{{Kind: access.Everything}}
	}
	var all []access.Resource
	for _, org := range scope.OrgMembers() {
		all = append(all, access.OfOrg(org))
	}
	for _, t := range scope.TypeMembers() {
		all = append(all, access.OfType(t.Org, t.Type))
	}
	for _, key := range scope.AggregateMembers() {
		r := access.OfKey(key)
		if len(all) == 0 || all[len(all)-1] != r {
			all = append(all, r)
		}
	}
	return all
}

// jittered varies a time by a tenth.
func jittered(d time.Duration, random float64) time.Duration {
	return d + time.Duration((random-0.5)*0.2*float64(d))
}
