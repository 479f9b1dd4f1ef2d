package gateway

import (
	"bytes"
	"cmp"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/celeriant/celeriant-go/await"
	"github.com/celeriant/celeriant-go/checkpoint"
	"github.com/celeriant/celeriant-go/checkpoint/lease"
	"github.com/celeriant/celeriant-go/gateway/access"
	pb "github.com/celeriant/celeriant-go/gateway/gatewaypb"
	"github.com/celeriant/celeriant-go/gateway/internal/convert"
	"github.com/celeriant/celeriant-go/msg"
)

const (
	defaultParkedPage = 100
	largestParkedPage = 1000
	// longestAwait bounds a wait without a deadline.
	longestAwait = 5 * time.Minute
)

// records is the store of named positions; an error that is meant for the caller if
// there is none.
func (s *Server) records() (checkpoint.RecordStore, error) {
	records, ok := s.opts.Checkpoints.(checkpoint.RecordStore)
	if !ok {
		return nil, &refusal{code: codes.FailedPrecondition, reason: "NO_CHECKPOINTS", text: "this gateway keeps no positions: let the client hold them"}
	}
	return records, nil
}

// storedName is the name in the store: names belong to a tenant.
func storedName(c caller, name string) string { return c.principal.Tenant + "/" + name }

// namedFor checks the right to a named subscription, before anything is looked up.
func (s *Server) namedFor(ctx context.Context, call string, action access.Action, name string) (checkpoint.RecordStore, string, error) {
	if err := checkSubscriptionName("name", name); err != nil {
		return nil, "", err
	}
	c := callerOf(ctx)
	if err := s.authorize(ctx, c, call, action, access.OfSubscription(name)); err != nil {
		return nil, "", err
	}
	records, err := s.records()
	return records, storedName(c, name), err
}

// checkSubscriptionName refuses what is no name; field names it in the error.
func checkSubscriptionName(field, name string) error {
	if len(name) > longestName {
		return invalid(fmt.Errorf("%s has %d bytes: want at most %d", field, len(name), longestName))
	}
	if err := checkpoint.CheckName(name); err != nil {
		return invalid(fmt.Errorf("%s: %w", field, err))
	}
	return nil
}

// GetSubscription implements the service.
func (s *subscriptionService) GetSubscription(ctx context.Context, req *pb.GetSubscriptionRequest) (*pb.GetSubscriptionResponse, error) {
	r, err := s.server.subscriptionOf(ctx, req)
	return r, statusOf(err, false)
}

func (s *Server) subscriptionOf(ctx context.Context, req *pb.GetSubscriptionRequest) (*pb.GetSubscriptionResponse, error) {
	records, name, err := s.namedFor(ctx, "GetSubscription", access.Consume, req.GetName())
	if err != nil {
		return nil, err
	}
	progress, err := lease.ReadProgress(ctx, records, name)
	if err != nil {
		return nil, err
	}
	control, _, err := checkpoint.LoadControl(ctx, records, name)
	if err != nil {
		return nil, err
	}
	out := &pb.GetSubscriptionResponse{Parked: uint64(len(control.Parked))}
	if progress.Definition.Generation != 0 {
		out.Partitions = progress.Definition.Count()
	}
	if !progress.Oldest.IsZero() {
		out.OldestPending = timestamppb.New(progress.Oldest)
	}
	if alone, ok := records.(checkpoint.Exclusive); ok && alone.Exclusive() {
		s.ownMembers(name, &progress) // such a store has no heartbeats
	}
	out.Unowned, out.Unhandled = progress.Unowned, progress.Unhandled
	for _, m := range progress.Members {
		out.Members = append(out.Members, &pb.GetSubscriptionResponse_Member{Member: orDefault(m.Label, m.ID), Partitions: m.Holds, Unhandled: m.Summary.Unhandled})
	}
	for _, stopped := range control.Stopped {
		m := &pb.GetSubscriptionResponse_Stopped{Partition: stopped.Partition, Version: stopped.Version, By: stopped.By, Since: timestamppb.New(stopped.Since)}
		if s.allowed(ctx, callerOf(ctx), access.Read, access.OfKey(stopped.Key)) == nil {
			m.Key, m.Reason = convert.KeyMessage(stopped.Key), stopped.Error
		}
		out.Stopped = append(out.Stopped, m)
	}
	return out, nil
}

// ownMembers takes the members from the streams of this gateway, which are all there
// are when no other process can have the store open.
func (s *Server) ownMembers(name string, p *lease.Progress) {
	for _, ses := range s.running() {
		if ses.conf.holder != byGateway || storedName(ses.caller, ses.conf.name) != name {
			continue
		}
		ses.mu.Lock()
		m := lease.Member{Label: ses.memberName(), Holds: lease.NewSet(slices.Collect(maps.Keys(ses.owned))...)}
		sub := ses.sub
		ses.mu.Unlock()
		if sub != nil {
			stats := sub.Stats()
			m.Summary.Unhandled = stats.Unhandled
			if at := stats.OldestPending; !at.IsZero() && (p.Oldest.IsZero() || at.Before(p.Oldest)) {
				p.Oldest = at
			}
		}
		p.Members = append(p.Members, m)
		p.Unhandled += m.Summary.Unhandled
		p.Unowned = slices.DeleteFunc(p.Unowned, m.Holds.Has)
	}
	slices.SortFunc(p.Members, func(a, b lease.Member) int { return cmp.Compare(a.Label, b.Label) })
}

// ListParked implements the service.
func (s *subscriptionService) ListParked(ctx context.Context, req *pb.ListParkedRequest) (*pb.ListParkedResponse, error) {
	r, err := s.server.listParked(ctx, req)
	return r, statusOf(err, false)
}

func (s *Server) listParked(ctx context.Context, req *pb.ListParkedRequest) (*pb.ListParkedResponse, error) {
	size := int(orDefault(req.GetPageSize(), defaultParkedPage))
	if size > largestParkedPage {
		return nil, invalid(fmt.Errorf("page_size is %d: want at most %d", size, largestParkedPage))
	}
	after, err := hex.DecodeString(req.GetPageToken())
	if err != nil {
		return nil, invalid(errors.New("page_token is none of this gateway's"))
	}
	records, name, err := s.namedFor(ctx, "ListParked", access.Consume, req.GetName())
	if err != nil {
		return nil, err
	}
	var all []checkpoint.Parked // a store keeps a bounded number of them
	for p, err := range checkpoint.ListParked(ctx, records, name) {
		if err != nil {
			return nil, err
		}
		if bytes.Compare(keyBytes(p.Key), after) > 0 && s.allowed(ctx, callerOf(ctx), access.Read, access.OfKey(p.Key)) == nil {
			all = append(all, p)
		}
	}
	slices.SortFunc(all, func(a, b checkpoint.Parked) int { return bytes.Compare(keyBytes(a.Key), keyBytes(b.Key)) })
	out := new(pb.ListParkedResponse)
	if len(all) > size {
		all = all[:size]
		out.NextPageToken = hex.EncodeToString(keyBytes(all[size-1].Key))
	}
	for i := range all {
		out.Parked = append(out.Parked, parkedMessage(&all[i]))
	}
	return out, nil
}

func keyBytes(k msg.Key) []byte { return slices.Concat(k.Org[:], k.Type[:], k.Aggregate[:]) }

func parkedMessage(p *checkpoint.Parked) *pb.Parked {
	m := &pb.Parked{
		Key: convert.KeyMessage(p.Key), Version: p.Version, Attempts: uint32(p.Attempts), Reason: p.Error,
		FirstFailure: timestamppb.New(p.FirstFailure), LastFailure: timestamppb.New(p.LastFailure),
	}
	if p.Request != nil {
		action := pb.ParkedAction_PARKED_ACTION_RELEASE
		if p.Request.Action == checkpoint.ActionSkip {
			action = pb.ParkedAction_PARKED_ACTION_SKIP
		}
		m.Requested, m.RequestedBy = &action, p.Request.By
	}
	return m
}

// ReleaseParked implements the service.
func (s *subscriptionService) ReleaseParked(ctx context.Context, req *pb.ReleaseParkedRequest) (*pb.ReleaseParkedResponse, error) {
	err := s.server.requestParked(ctx, "ReleaseParked", req.GetName(), req.GetKey(), checkpoint.ActionRelease, 0)
	return new(pb.ReleaseParkedResponse), statusOf(err, false)
}

// SkipParked implements the service.
func (s *subscriptionService) SkipParked(ctx context.Context, req *pb.SkipParkedRequest) (*pb.SkipParkedResponse, error) {
	err := s.server.requestParked(ctx, "SkipParked", req.GetName(), req.GetKey(), checkpoint.ActionSkip, req.GetVersion())
	return new(pb.SkipParkedResponse), statusOf(err, false)
}

func (s *Server) requestParked(ctx context.Context, call, subscription string, k *pb.Key, action checkpoint.ParkedAction, version uint64) error {
	key, err := convert.Key("key", k)
	if err != nil {
		return invalid(err)
	}
	if action == checkpoint.ActionSkip && version == 0 {
		return invalid(errors.New("version is missing: it names what is passed over"))
	}
	records, name, err := s.namedFor(ctx, call, access.Operate, subscription)
	if err != nil {
		return err
	}
	c := callerOf(ctx)
	if err := s.authorize(ctx, c, call, access.Read, access.OfKey(key)); err != nil {
		return err
	}
	s.audit(ctx, c, call, access.OfSubscription(subscription).String(), nil)
	p, err := checkpoint.LoadParked(ctx, records, name, key)
	if err != nil {
		return err
	}
	if action == checkpoint.ActionSkip && version != p.Version {
		return &refusal{code: codes.FailedPrecondition, reason: "OTHER_VERSION", text: fmt.Sprintf("the aggregate is parked at version %d, not at %d", p.Version, version)}
	}
	if err := checkpoint.RequestParked(ctx, records, name, p, action, c.principal.Name); err != nil {
		return err
	}
	for _, ses := range s.running() {
		if ses.conf.holder == byGateway && storedName(ses.caller, ses.conf.name) == name {
			ses.lookNow()
		}
	}
	return nil
}

// Await implements the service.
func (s *subscriptionService) Await(ctx context.Context, req *pb.AwaitRequest) (*pb.AwaitResponse, error) {
	err := s.server.await(ctx, req)
	return new(pb.AwaitResponse), statusOf(err, false)
}

func (s *Server) await(ctx context.Context, req *pb.AwaitRequest) error {
	if len(req.GetVersions()) > mostKeys {
		return invalid(fmt.Errorf("versions has %d entries: want at most %d", len(req.GetVersions()), mostKeys))
	}
	keys := make([]msg.Key, len(req.GetVersions()))
	for i, v := range req.GetVersions() {
		var err error
		if keys[i], err = convert.Key(fmt.Sprintf("versions[%d].key", i), v.GetKey()); err != nil {
			return invalid(err)
		}
	}
	records, name, err := s.namedFor(ctx, "Await", access.Consume, req.GetName())
	if err != nil {
		return err
	}
	for _, key := range keys {
		if err := s.authorize(ctx, callerOf(ctx), "Await", access.Read, access.OfKey(key)); err != nil {
			return err
		}
	}
	ctx, cancel := context.WithTimeout(ctx, awaitFor(ctx, time.Now()))
	defer cancel()
	stop := context.AfterFunc(s.ctx, cancel)
	defer stop()
	waiters := await.New(records, s.client.Pool().AtLeader())
	for i, v := range req.GetVersions() {
		if err := waiters.Await(ctx, name, keys[i], v.GetVersion()); err != nil {
			return s.inVain(err)
		}
	}
	return nil
}

// awaitFor is how long a wait may take: a little less than the call's deadline, so that
// the reason reaches the caller.
func awaitFor(ctx context.Context, now time.Time) time.Duration {
	deadline, ok := ctx.Deadline()
	if !ok {
		return longestAwait
	}
	left := deadline.Sub(now)
	return min(longestAwait, left-min(left/2, time.Second))
}

// awaitReasons are the words for programs.
var awaitReasons = map[await.Reason]string{
	await.Behind: "BEHIND", await.Parked: "PARKED", await.Stopped: "STOPPED", await.Deleted: "DELETED",
	await.OtherLife: "OTHER_LIFE", await.Unowned: "UNOWNED", await.Superseded: "SUPERSEDED",
}

// inVain explains why a wait was in vain.
func (s *Server) inVain(err error) error {
	var late *await.LateError
	var passed *await.NotHandledError
	switch {
	case s.ctx.Err() != nil:
		return errStopping
	case errors.As(err, &passed):
		return &refusal{code: codes.FailedPrecondition, reason: "NOT_HANDLED", text: fmt.Sprintf("versions %d to %d were passed over: %s", passed.From, passed.To, passed.Why)}
	case errors.As(err, &late) && !errors.Is(err, context.Canceled):
		return &refusal{code: codes.DeadlineExceeded, reason: awaitReasons[late.Reason],
			text: fmt.Sprintf("version %d is not handled: the subscription stands at %d (%s)", late.Version, late.Stored.Version, late.Reason)}
	}
	return err
}
