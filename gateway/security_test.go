package gateway_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/metadata"
	reflectionpb "google.golang.org/grpc/reflection/grpc_reflection_v1"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"

	"github.com/celeriant/celeriant-go/gateway"
	"github.com/celeriant/celeriant-go/gateway/access"
	pb "github.com/celeriant/celeriant-go/gateway/gatewaypb"
	"github.com/celeriant/celeriant-go/gateway/internal/convert"
	"github.com/celeriant/celeriant-go/msg"
	"github.com/celeriant/celeriant-go/stream"
)

var foreignKey = msg.Key{Org: msg.IDFromUint64(99), Type: typ, Aggregate: msg.IDFromUint64(1)}

// authFile is an authorization file that a test may change.
type authFile struct {
	*access.File
	t    *testing.T
	path string
	keys map[string]string // tokens of the callers
	hash map[string]string
}

// newAuthFile makes a file with a caller for each of the rights.
func newAuthFile(t *testing.T, rights map[string]string) *authFile {
	t.Helper()
	f := &authFile{t: t, path: filepath.Join(t.TempDir(), "auth.json"), keys: map[string]string{}, hash: map[string]string{}}
	for name := range rights {
		f.keys[name], f.hash[name] = access.NewKey(name)
	}
	f.write(rights)
	var err error
	if f.File, err = access.Open(f.path); err != nil {
		t.Fatal(err)
	}
	return f
}

func (f *authFile) write(rights map[string]string) {
	f.t.Helper()
	var callers []string
	for name, right := range rights {
		if right != "" {
			right = "," + right
		}
		callers = append(callers, `{"name":"`+name+`","keys":[{"id":"`+name+`","sha256":"`+f.hash[name]+`"}]`+right+`}`)
	}
	if err := os.WriteFile(f.path, []byte(`{"callers":[`+strings.Join(callers, ",")+`]}`), 0o600); err != nil {
		f.t.Fatal(err)
	}
}

func (f *authFile) change(rights map[string]string) {
	f.t.Helper()
	f.write(rights)
	if _, err := f.Reload(); err != nil {
		f.t.Fatal(err)
	}
}

// as shows a caller's key with a call.
func (f *authFile) as(ctx context.Context, name string) context.Context {
	token, ok := f.keys[name]
	if !ok {
		return ctx
	}
	return metadata.AppendToOutgoingContext(ctx, "authorization", "Bearer "+token)
}

// calls are all calls of the interface, on an aggregate.
func calls(conn *grpc.ClientConn) map[string]func(context.Context, msg.Key) error {
	events, commands, names := pb.NewEventServiceClient(conn), pb.NewCommandServiceClient(conn), pb.NewSubscriptionServiceClient(conn)
	key := convert.KeyMessage
	return map[string]func(context.Context, msg.Key) error{
		"Read": func(ctx context.Context, k msg.Key) error {
			_, err := events.Read(ctx, &pb.ReadRequest{Key: key(k)})
			return err
		},
		"ReadAll": func(ctx context.Context, k msg.Key) error {
			s, err := events.ReadAll(ctx, &pb.ReadAllRequest{Key: key(k)})
			for err == nil {
				_, err = s.Recv()
			}
			return unlessEOF(err)
		},
		"GetDetails": func(ctx context.Context, k msg.Key) error {
			_, err := events.GetDetails(ctx, &pb.GetDetailsRequest{Key: key(k)})
			return err
		},
		"List": func(ctx context.Context, k msg.Key) error {
			_, err := events.List(ctx, &pb.ListRequest{List: &pb.ListRequest_Aggregates_{Aggregates: &pb.ListRequest_Aggregates{Org: k.Org[:], Type: k.Type[:]}}})
			return err
		},
		"Subscribe": func(ctx context.Context, k msg.Key) error {
			ctx, cancel := context.WithCancel(ctx)
			defer cancel()
			s, err := pb.NewSubscriptionServiceClient(conn).Subscribe(ctx)
			if err == nil {
				scope := convert.ScopeMessage(stream.Union(stream.Types(k.Org, k.Type), stream.Aggregates(keyOf(1))))
				// A stream that is refused already ends the sending; Recv says why.
				_ = s.Send(&pb.SubscribeRequest{Message: &pb.SubscribeRequest_Open{Open: &pb.Open{Scope: scope, Position: clientHeld().Position}}})
				_, err = s.Recv()
			}
			return err
		},
		"GetSubscription": func(ctx context.Context, k msg.Key) error {
			_, err := names.GetSubscription(ctx, &pb.GetSubscriptionRequest{Name: nameOf(k)})
			return err
		},
		"ListParked": func(ctx context.Context, k msg.Key) error {
			_, err := names.ListParked(ctx, &pb.ListParkedRequest{Name: nameOf(k)})
			return err
		},
		"ReleaseParked": func(ctx context.Context, k msg.Key) error {
			_, err := names.ReleaseParked(ctx, &pb.ReleaseParkedRequest{Name: nameOf(k), Key: key(k)})
			return unlessNotFound(err)
		},
		"ReleaseParked of what cannot be read": func(ctx context.Context, k msg.Key) error {
			_, err := names.ReleaseParked(ctx, &pb.ReleaseParkedRequest{Name: "orders", Key: key(k)})
			return unlessNotFound(err)
		},
		"SkipParked": func(ctx context.Context, k msg.Key) error {
			_, err := names.SkipParked(ctx, &pb.SkipParkedRequest{Name: nameOf(k), Key: key(k), Version: 1})
			return unlessNotFound(err)
		},
		"SkipParked of what cannot be read": func(ctx context.Context, k msg.Key) error {
			_, err := names.SkipParked(ctx, &pb.SkipParkedRequest{Name: "orders", Key: key(k), Version: 1})
			return unlessNotFound(err)
		},
		"Await": func(ctx context.Context, k msg.Key) error {
			_, err := names.Await(ctx, &pb.AwaitRequest{Name: nameOf(k)})
			return err
		},
		"Await of what cannot be read": func(ctx context.Context, k msg.Key) error {
			_, err := names.Await(ctx, &pb.AwaitRequest{Name: "orders", Versions: []*pb.AwaitRequest_Version{{Key: key(k)}}})
			return err
		},
		"Write": func(ctx context.Context, k msg.Key) error {
			_, err := commands.Write(ctx, &pb.WriteRequest{Key: key(k), Events: []*pb.NewEvent{{ClientSeq: 1, Major: 1}}, Guard: &pb.WriteRequest_Unconditional{Unconditional: true}})
			return err
		},
		"Delete": func(ctx context.Context, k msg.Key) error {
			_, err := commands.Delete(ctx, &pb.DeleteRequest{Key: key(k), AllowRecreate: true})
			return err
		},
		"TrimStart": func(ctx context.Context, k msg.Key) error {
			_, err := commands.TrimStart(ctx, &pb.TrimStartRequest{Key: key(k), KeepFrom: 1})
			return err
		},
		"RegisterSchema": func(ctx context.Context, k msg.Key) error {
			_, err := commands.RegisterSchema(ctx, &pb.RegisterSchemaRequest{
				Org: k.Org[:], Type: k.Type[:], Major: 7, Minor: 1, SchemaType: pb.SchemaType_SCHEMA_TYPE_JSON, Schema: "{}",
			})
			return err
		},
	}
}

// methods are all calls of the interface, from its description.
func methods() (all []protoreflect.MethodDescriptor) {
	protoregistry.GlobalFiles.RangeFilesByPackage("celeriant.gateway.v1", func(file protoreflect.FileDescriptor) bool {
		for i := range file.Services().Len() {
			for j := range file.Services().Get(i).Methods().Len() {
				all = append(all, file.Services().Get(i).Methods().Get(j))
			}
		}
		return true
	})
	return all
}

// nameOf is the name that goes with an aggregate: a caller has rights to "orders" only.
func nameOf(k msg.Key) string {
	if k == foreignKey {
		return "billing"
	}
	return "orders"
}

func unlessNotFound(err error) error {
	if status.Code(err) == codes.NotFound {
		return nil
	}
	return err
}

func unlessEOF(err error) error {
	if err != nil && err.Error() == "EOF" {
		return nil
	}
	return err
}

// Every caller at every call at every scope: what is not granted is denied, before a
// node is asked.
func TestMatrixOfCallersCallsAndScopes(t *testing.T) {
	org1 := `"` + org.String() + `"`
	auth := newAuthFile(t, map[string]string{
		"reader": `"read":[` + org1 + `]`, "writer": `"write":[` + org1 + `]`, "administrator": `"administer":[` + org1 + `]`, "nobody": "",
		"consumer": `"consume":["orders"],"read":[` + org1 + `]`, "operator": `"operate":["orders"],"read":[` + org1 + `]`,
	})
	var audit lockedBuffer
	w := newWorld(t, gateway.Options{
		Authenticator: auth, Authorizer: auth, Writes: true, Audit: slog.New(slog.NewTextHandler(&audit, nil)), Checkpoints: newStore(t),
	})
	read := []string{"reader", "consumer", "operator"}
	needs := map[string][]string{
		"Read": read, "ReadAll": read, "GetDetails": read, "List": read, "Subscribe": read,
		"Write": {"writer"}, "Delete": {"administrator"}, "TrimStart": {"administrator"}, "RegisterSchema": {"administrator"},
		"GetSubscription": {"consumer"}, "ListParked": {"consumer"}, "Await": {"consumer"}, "Await of what cannot be read": {"consumer"},
		"ReleaseParked": {"operator"}, "ReleaseParked of what cannot be read": {"operator"},
		"SkipParked": {"operator"}, "SkipParked of what cannot be read": {"operator"},
	}
	all := calls(w.connect())
	for name := range all {
		if _, ok := needs[name]; !ok {
			t.Errorf("the call %s has no row", name)
		}
	}
	for _, method := range methods() {
		if _, ok := needs[string(method.Name())]; !ok {
			t.Errorf("the call %s of the interface has no row", method.FullName())
		}
	}
	for name, do := range all {
		for _, caller := range []string{"reader", "writer", "administrator", "consumer", "operator", "nobody", "stranger"} {
			for scope, key := range map[string]msg.Key{"own": keyOf(1), "foreign": foreignKey} {
				w.write(1, "x")
				err := do(auth.as(w.context(), caller), key)
				want := codes.PermissionDenied
				switch {
				case caller == "stranger":
					want = codes.Unauthenticated
				case slices.Contains(needs[name], caller) && scope == "own":
					want = codes.OK
				}
				if status.Code(err) != want {
					t.Errorf("%s %s at %s organisation: %v, want %v", caller, name, scope, err, want)
				}
				if want != codes.OK {
					detail(t, err)
				}
			}
		}
	}
	for _, line := range []string{
		`principal=operator call=SkipParked resource="subscription orders" decision=allowed`, `principal=reader call=Await resource="subscription orders" decision=denied`,
		`principal=nobody call=Write`, `principal=writer call=Write resource="type`, `decision=denied`, `decision=allowed`, `principal=reader call=Subscribe`,
	} {
		if !strings.Contains(audit.String(), line) {
			t.Errorf("the audit has no line with %s", line)
		}
	}
}

type lockedBuffer struct {
	mu sync.Mutex
	bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.Buffer.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.Buffer.String()
}

// A list leaves out what the caller may not read.
func TestListsAreFiltered(t *testing.T) {
	auth := newAuthFile(t, map[string]string{"reader": `"read":["` + org.String() + `"]`})
	w := newWorld(t, gateway.Options{Authenticator: auth, Authorizer: auth})
	w.write(1, "x")
	if _, err := w.store.WriteEvents(w.context(), foreignKey, []msg.Event{{ClientSeq: 1, Major: 1}}, clientID); err != nil {
		t.Fatal(err)
	}
	events := pb.NewEventServiceClient(w.connect())
	ctx := auth.as(w.context(), "reader")
	orgs, err := events.List(ctx, &pb.ListRequest{List: &pb.ListRequest_Orgs_{Orgs: &pb.ListRequest_Orgs{}}})
	if err != nil || len(orgs.Orgs) != 1 || !slices.Equal(orgs.Orgs[0], org[:]) {
		t.Errorf("organisations %v, %v", orgs, err)
	}
	types, err := events.List(ctx, &pb.ListRequest{List: &pb.ListRequest_Types_{Types: &pb.ListRequest_Types{}}})
	if err != nil || len(types.Types) != 1 {
		t.Errorf("types %v, %v", types, err)
	}
	aggregates, err := events.List(ctx, &pb.ListRequest{List: &pb.ListRequest_Aggregates_{Aggregates: &pb.ListRequest_Aggregates{}}})
	if err != nil || len(aggregates.Aggregates) != 1 {
		t.Errorf("aggregates %v, %v", aggregates, err)
	}
}

// A page token is of use to its caller only, and once.
func TestPageTokensBelongToTheirCaller(t *testing.T) {
	auth := newAuthFile(t, map[string]string{"a": `"read":["*"]`, "b": `"read":["*"]`})
	w := newWorld(t, gateway.Options{Authenticator: auth, Authorizer: auth})
	for n := range uint64(5) {
		w.write(n+1, "x")
	}
	events := pb.NewEventServiceClient(w.connect())
	list := func(caller, token string) (*pb.ListResponse, error) {
		return events.List(auth.as(w.context(), caller), &pb.ListRequest{
			List: &pb.ListRequest_Aggregates_{Aggregates: &pb.ListRequest_Aggregates{}}, PageSize: 2, PageToken: token,
		})
	}
	first, err := list("a", "")
	if err != nil || len(first.Aggregates) != 2 || first.NextPageToken == "" {
		t.Fatalf("first page %v, %v", first, err)
	}
	if _, err := list("b", first.NextPageToken); status.Code(err) != codes.InvalidArgument {
		t.Errorf("another caller's token: %v", err)
	}
	second, err := list("a", first.NextPageToken)
	if err != nil || len(second.Aggregates) != 2 {
		t.Fatalf("second page %v, %v", second, err)
	}
	if _, err := list("a", first.NextPageToken); status.Code(err) != codes.InvalidArgument {
		t.Errorf("a used token: %v", err)
	}
	third, err := list("a", second.NextPageToken)
	if err != nil || len(third.Aggregates) != 1 || third.NextPageToken != "" {
		t.Errorf("third page %v, %v", third, err)
	}
}

// A right that is lost ends the streams that rest on it, and no others.
func TestALostRightEndsItsStreams(t *testing.T) {
	right := `"read":["` + org.String() + `"]`
	auth := newAuthFile(t, map[string]string{"loses": right, "keeps": right})
	w := newWorld(t, gateway.Options{Authenticator: auth, Authorizer: auth})
	open := func(caller string) *rawStream {
		return w.mustOpen(clientHeld(), grpc.WithPerRPCCredentials(rawToken(auth.keys[caller])))
	}
	loses, keeps := open("loses"), open("keeps")
	keeps.changes(1, noPositions)
	loses.changes(1, noPositions)
	auth.change(map[string]string{"loses": "", "keeps": right})
	if err := loses.end(); status.Code(err) != codes.PermissionDenied {
		t.Errorf("the stream without a right ended with %v", err)
	}
	gone := open("keeps")
	auth.change(map[string]string{"loses": ""})
	for _, s := range []*rawStream{keeps, gone} {
		if err := s.end(); status.Code(err) != codes.Unauthenticated {
			t.Errorf("the stream without a credential ended with %v", err)
		}
	}
}

type rawToken string

func (t rawToken) GetRequestMetadata(context.Context, ...string) (map[string]string, error) {
	return map[string]string{"authorization": "Bearer " + string(t)}, nil
}
func (rawToken) RequireTransportSecurity() bool { return false }

// expiring is an authenticator whose credential ends.
type expiring struct{ at time.Time }

func (e expiring) Authenticate(context.Context, access.Credentials) (access.Principal, error) {
	if !time.Now().Before(e.at) {
		return access.Principal{}, access.ErrUnauthenticated
	}
	return access.Principal{Name: "visitor", Expires: e.at}, nil
}

func TestAnExpiredCredentialEndsItsStream(t *testing.T) {
	t.Parallel()
	at := time.Now().Add(2 * time.Second)
	w := newWorld(t, gateway.Options{Authenticator: expiring{at}})
	r := w.mustOpen(clientHeld())
	if err := r.end(); status.Code(err) != codes.Unauthenticated || time.Now().Before(at) {
		t.Errorf("the stream ended with %v, %v before its credential", err, time.Until(at))
	}
}

func TestHealthNeedsNoCredentialsAndReflectionDoes(t *testing.T) {
	auth := newAuthFile(t, map[string]string{"a": ""})
	w := newWorld(t, gateway.Options{Authenticator: auth, Authorizer: auth, Reflection: true})
	conn := w.connect()
	health, err := healthpb.NewHealthClient(conn).Check(w.context(), new(healthpb.HealthCheckRequest))
	if err != nil || health.Status != healthpb.HealthCheckResponse_SERVING {
		t.Errorf("health %v, %v", health, err)
	}
	reflect := func(ctx context.Context) error {
		s, err := reflectionpb.NewServerReflectionClient(conn).ServerReflectionInfo(ctx)
		if err != nil {
			return err
		}
		defer s.CloseSend()
		// A stream that was refused already answers io.EOF here, and Recv says why.
		_ = s.Send(&reflectionpb.ServerReflectionRequest{MessageRequest: &reflectionpb.ServerReflectionRequest_ListServices{}})
		_, err = s.Recv()
		return err
	}
	ctx, cancel := context.WithCancel(w.context())
	defer cancel()
	if err := reflect(ctx); status.Code(err) != codes.Unauthenticated {
		t.Errorf("reflection without credentials: %v", err)
	}
	if err := reflect(auth.as(ctx, "a")); err != nil {
		t.Errorf("reflection with credentials: %v", err)
	}
}

// The command service is not there unless it is asked for.
func TestWithoutWritesNothingCanBeChanged(t *testing.T) {
	w := newWorld(t, gateway.Options{})
	all := calls(w.connect())
	for _, name := range []string{"Write", "Delete", "TrimStart", "RegisterSchema"} {
		if err := all[name](w.context(), keyOf(1)); status.Code(err) != codes.Unimplemented {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := w.store.Pool().Details(w.context(), keyOf(1)); !errors.Is(err, msg.ErrNotFound) {
		t.Errorf("the aggregate is there: %v", err)
	}
}
