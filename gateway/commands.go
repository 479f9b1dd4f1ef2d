package gateway

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"google.golang.org/grpc/codes"

	"github.com/celeriant/celeriant-go/gateway/access"
	pb "github.com/celeriant/celeriant-go/gateway/gatewaypb"
	"github.com/celeriant/celeriant-go/gateway/internal/convert"
	"github.com/celeriant/celeriant-go/msg"
	"github.com/celeriant/celeriant-go/pool"
)

// commandService implements the service of the same name.
type commandService struct {
	pb.UnimplementedCommandServiceServer
	server *Server
}

// changing checks that the caller may change what a key names, and writes the audit
// line.
func (s *Server) changing(ctx context.Context, call string, action access.Action, r access.Resource) error {
	c := callerOf(ctx)
	if err := s.authorize(ctx, c, call, action, r); err != nil {
		return err
	}
	s.audit(ctx, c, call, r.String(), nil)
	return nil
}

// writerOf decides in whose name a change is made. A caller writes only under ids
// derived from itself, or granted to it: whoever uses another's client id could make
// its writes look stored already.
func (s *Server) writerOf(ctx context.Context, w *pb.Writer) (client msg.ID, user msg.Opt[msg.ID], err error) {
	p := callerOf(ctx).principal
	user = msg.Some(p.UserID)
	if p.UserID.IsZero() {
		user = msg.None[msg.ID]()
	}
	if w.GetUserId() != nil {
		named, err := convert.ID("writer.user_id", w.UserId)
		if err != nil {
			return client, user, invalid(err)
		}
		if !p.ActForOthers && named != p.UserID {
			return client, user, fmt.Errorf("%w: %s may not act for other users", access.ErrDenied, p.Name)
		}
		user = msg.Some(named)
	}
	switch id := w.GetClient().(type) {
	case *pb.Writer_ClientId:
		if client, err = convert.ID("writer.client_id", id.ClientId); err != nil {
			return client, user, invalid(err)
		}
		if !slices.Contains(p.ClientIDs, client) && msg.Some(client) != s.opts.ProvenClientID {
			return client, user, fmt.Errorf("%w: %s may not write under that client id", access.ErrDenied, p.Name)
		}
	default:
		client = access.DerivedID(p.Name, w.GetName())
	}
	if s.opts.ProvenClientID.Set {
		client = s.opts.ProvenClientID.Value
	}
	return client, user, nil
}

// Write implements the service.
func (s *commandService) Write(ctx context.Context, req *pb.WriteRequest) (*pb.WriteResponse, error) {
	r, err := s.server.write(ctx, req)
	return r, statusOf(err, true)
}

func (s *Server) write(ctx context.Context, req *pb.WriteRequest) (*pb.WriteResponse, error) {
	key, err := convert.Key("key", req.Key)
	if err != nil {
		return nil, invalid(err)
	}
	events, opts, err := s.batch(req)
	if err != nil {
		return nil, err
	}
	if err := s.changing(ctx, "Write", access.Write, access.OfKey(key)); err != nil {
		return nil, err
	}
	client, user, err := s.writerOf(ctx, req.Writer)
	if err != nil {
		s.audit(ctx, callerOf(ctx), "Write", access.OfKey(key).String(), err)
		return nil, err
	}
	opts.UserID = user
	version, err := s.client.WriteEvents(ctx, key, events, client, func(o *pool.WriteOptions) { *o = opts })
	if err != nil {
		return nil, err
	}
	return &pb.WriteResponse{Version: version}, nil
}

// batch reads the events of a write and its guard.
func (s *Server) batch(req *pb.WriteRequest) ([]msg.Event, pool.WriteOptions, error) {
	opts := pool.WriteOptions{DenyCreate: req.DenyCreate}
	switch guard := req.Guard.(type) {
	case *pb.WriteRequest_ExpectedVersion:
		opts.ExpectedVersion = msg.Some(guard.ExpectedVersion)
	case *pb.WriteRequest_EnforceSequence:
		opts.EnforceIdempotency = guard.EnforceSequence
		if guard.EnforceSequence && s.opts.ProvenClientID.Set {
			return nil, opts, &refusal{code: codes.FailedPrecondition, reason: "SHARED_CLIENT_ID",
				text: "this gateway writes for all callers under one client id, so that their sequences would collide: use expected_version"}
		}
	}
	if !opts.ExpectedVersion.Set && !opts.EnforceIdempotency && !req.GetUnconditional() {
		return nil, opts, invalid(errors.New("the write has no guard: set expected_version or enforce_sequence, or unconditional"))
	}
	if len(req.Events) == 0 {
		return nil, opts, invalid(errors.New("events is empty: want at least one"))
	}
	events := make([]msg.Event, len(req.Events))
	for i, e := range req.Events {
		id, err := convert.OptionalID(fmt.Sprintf("events[%d].event_id", i), e.EventId)
		if err != nil {
			return nil, opts, invalid(err)
		}
		iv, err := convert.IV(fmt.Sprintf("events[%d].iv", i), e.Iv)
		if err != nil {
			return nil, opts, invalid(err)
		}
		switch {
		case e.Major == 0:
			return nil, opts, invalid(fmt.Errorf("events[%d].major is 0: want at least 1", i))
		case opts.EnforceIdempotency && e.ClientSeq == 0:
			return nil, opts, invalid(fmt.Errorf("events[%d].client_seq is 0: want at least 1 with enforce_sequence", i))
		}
		events[i] = msg.Event{ClientSeq: e.ClientSeq, EventID: id, Timestamp: e.Timestamp, Major: e.Major, Minor: e.Minor, Value: e.Value, IV: iv}
	}
	return events, opts, nil
}

// Delete implements the service.
func (s *commandService) Delete(ctx context.Context, req *pb.DeleteRequest) (*pb.DeleteResponse, error) {
	key, client, user, err := s.server.administered(ctx, "Delete", req.Key, req.Writer)
	if err == nil {
		err = s.server.client.Pool().DeleteAggregate(ctx, key, client, pool.DeleteOptions{
			UserID: user, AllowRecreate: req.AllowRecreate, AllowSequenceContinuation: req.AllowSequenceContinuation,
			ExpectedVersion: optionalUint(req.ExpectedVersion),
		})
	}
	if err != nil {
		return nil, statusOf(err, true)
	}
	return new(pb.DeleteResponse), nil
}

// TrimStart implements the service.
func (s *commandService) TrimStart(ctx context.Context, req *pb.TrimStartRequest) (*pb.TrimStartResponse, error) {
	key, client, user, err := s.server.administered(ctx, "TrimStart", req.Key, req.Writer)
	if err == nil {
		err = s.server.client.Pool().TrimStart(ctx, &msg.TrimStartRequest{Key: key, KeepFrom: req.KeepFrom, ClientID: client, UserID: user})
	}
	if err != nil {
		return nil, statusOf(err, true)
	}
	return new(pb.TrimStartResponse), nil
}

// administered reads a key, checks the right to administer it, and says in whose
// name the change is made.
func (s *Server) administered(ctx context.Context, call string, k *pb.Key, w *pb.Writer) (key msg.Key, client msg.ID, user msg.Opt[msg.ID], err error) {
	if key, err = convert.Key("key", k); err != nil {
		return key, client, user, invalid(err)
	}
	if err = s.changing(ctx, call, access.Administer, access.OfKey(key)); err != nil {
		return key, client, user, err
	}
	client, user, err = s.writerOf(ctx, w)
	return key, client, user, err
}

// RegisterSchema implements the service.
func (s *commandService) RegisterSchema(ctx context.Context, req *pb.RegisterSchemaRequest) (*pb.RegisterSchemaResponse, error) {
	if err := s.server.registerSchema(ctx, req); err != nil {
		return nil, statusOf(err, true)
	}
	return new(pb.RegisterSchemaResponse), nil
}

var schemaTypes = map[pb.SchemaType]msg.SchemaType{
	pb.SchemaType_SCHEMA_TYPE_JSON: msg.SchemaJSON, pb.SchemaType_SCHEMA_TYPE_AVRO: msg.SchemaAvro, pb.SchemaType_SCHEMA_TYPE_PROTOBUF: msg.SchemaProtobuf,
}

func (s *Server) registerSchema(ctx context.Context, req *pb.RegisterSchemaRequest) error {
	org, err := convert.ID("org", req.Org)
	if err != nil {
		return invalid(err)
	}
	typ, err := convert.ID("type", req.Type)
	if err != nil {
		return invalid(err)
	}
	language, ok := schemaTypes[req.SchemaType]
	if !ok {
		return invalid(fmt.Errorf("schema_type is %v: want JSON, AVRO or PROTOBUF", req.SchemaType))
	}
	if err := s.changing(ctx, "RegisterSchema", access.Administer, access.OfType(org, typ)); err != nil {
		return err
	}
	client, user, err := s.writerOf(ctx, req.Writer)
	if err != nil {
		return err
	}
	return s.client.Pool().RegisterSchema(ctx, &msg.RegisterSchemaRequest{
		ClientID: client, UserID: user, Key: msg.SchemaKey{Org: org, Type: typ, Major: req.Major, Minor: req.Minor},
		SchemaType: language, Schema: req.Schema,
	})
}
