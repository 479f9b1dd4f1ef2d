package gateway

import (
	"context"

	"google.golang.org/grpc"

	"github.com/celeriant/celeriant-go/gateway/access"
	pb "github.com/celeriant/celeriant-go/gateway/gatewaypb"
	"github.com/celeriant/celeriant-go/gateway/internal/convert"
	"github.com/celeriant/celeriant-go/msg"
)

// eventService implements the service of the same name.
type eventService struct {
	pb.UnimplementedEventServiceServer
	server *Server
}

// readable reads a key and checks that the caller may read it.
func (s *Server) readable(ctx context.Context, call string, k *pb.Key) (msg.Key, error) {
	key, err := convert.Key("key", k)
	if err != nil {
		return key, invalid(err)
	}
	return key, s.authorize(ctx, callerOf(ctx), call, access.Read, access.OfKey(key))
}

// Read implements the service.
func (s *eventService) Read(ctx context.Context, req *pb.ReadRequest) (*pb.ReadResponse, error) {
	r, err := s.server.read(ctx, req)
	return r, statusOf(err, false)
}

func (s *Server) read(ctx context.Context, req *pb.ReadRequest) (*pb.ReadResponse, error) {
	key, err := s.readable(ctx, "Read", req.Key)
	if err != nil {
		return nil, err
	}
	page, err := s.client.Pool().Read(ctx, &msg.ReadRequest{Key: key, Filters: msg.ReadFilters{From: req.From, To: optionalUint(req.To)}})
	if err != nil {
		return nil, err
	}
	out := &pb.ReadResponse{Next: optional(page.NextVersion)}
	for i := range page.Batches {
		b := &page.Batches[i]
		if page.NextVersion.Set && b.Version >= page.NextVersion.Value {
			break // not to be trusted; the next page has it
		}
		out.Batches = append(out.Batches, convert.BatchMessage(b))
	}
	return out, nil
}

// readAllBytes bounds the payload of one message of ReadAll.
const readAllBytes = 512 << 10

// ReadAll implements the service.
func (s *eventService) ReadAll(req *pb.ReadAllRequest, to grpc.ServerStreamingServer[pb.ReadAllResponse]) error {
	return statusOf(s.server.readAll(req, to), false)
}

func (s *Server) readAll(req *pb.ReadAllRequest, to grpc.ServerStreamingServer[pb.ReadAllResponse]) error {
	ctx := to.Context()
	key, err := s.readable(ctx, "ReadAll", req.Key)
	if err != nil {
		return err
	}
	var pending []*pb.Batch
	bytes := 0
	send := func() error {
		if len(pending) == 0 {
			return nil
		}
		err := to.Send(&pb.ReadAllResponse{Batches: pending})
		pending, bytes = nil, 0
		return err
	}
	filters := msg.ReadFilters{From: req.From, To: optionalUint(req.To)}
	for batch, err := range s.client.Pool().ReadAll(ctx, key, filters) {
		if err != nil {
			if sent := send(); sent != nil {
				return sent
			}
			return err
		}
		size := convert.BatchSize(&batch)
		if bytes+size > readAllBytes {
			if err := send(); err != nil {
				return err
			}
		}
		pending, bytes = append(pending, convert.BatchMessage(&batch)), bytes+size
	}
	return send()
}

// GetDetails implements the service.
func (s *eventService) GetDetails(ctx context.Context, req *pb.GetDetailsRequest) (*pb.GetDetailsResponse, error) {
	d, err := s.server.details(ctx, req.Key)
	return d, statusOf(err, false)
}

func (s *Server) details(ctx context.Context, k *pb.Key) (*pb.GetDetailsResponse, error) {
	key, err := s.readable(ctx, "GetDetails", k)
	if err != nil {
		return nil, err
	}
	d, err := s.client.Pool().Details(ctx, key)
	if err != nil {
		return nil, err
	}
	return &pb.GetDetailsResponse{
		MinVersion: d.MinVersion, MaxVersion: d.MaxVersion, MaxEventSeq: d.MaxEventSeq, Deleted: d.Deleted,
		AllowRecreate: d.AllowRecreate, AllowSequenceContinuation: d.AllowSequenceContinuation,
		LastServerTimestamp: d.LastServerTimestamp, LastClientId: convert.IDBytes(d.LastClientID), LastUserId: convert.OptionalIDBytes(d.LastUserID),
	}, nil
}

func optionalUint(v *uint64) msg.Opt[uint64] {
	if v == nil {
		return msg.None[uint64]()
	}
	return msg.Some(*v)
}
