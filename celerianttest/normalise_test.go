package celerianttest_test

import (
	"cmp"
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/celeriant/celeriant-go/internal/traces"
	"github.com/celeriant/celeriant-go/internal/wire"
	"github.com/celeriant/celeriant-go/msg"
)

// schemaText is the part of a schema error that comes from parsing libraries.
var schemaText = regexp.MustCompile(`"(parse_error|validation_error|compilation_error)":".*"`)

// normalise blanks what differs from run to run: server timestamps, the order
// of lists and inside watch frames, texts of schema errors.
func normalise(resp msg.Response) {
	switch r := resp.(type) {
	case *msg.ReadResponse:
		for i := range r.Batches {
			r.Batches[i].ServerTimestamp = 0
		}
	case *msg.DetailsResponse:
		r.LastServerTimestamp = 0
	case *msg.ListOrgsResponse:
		slices.SortFunc(r.Orgs, msg.ID.Compare)
	case *msg.ListTypesResponse:
		slices.SortFunc(r.Types, func(a, b msg.TypeItem) int {
			return cmp.Or(a.Org.Compare(b.Org), a.Type.Compare(b.Type))
		})
	case *msg.ListAggregatesResponse:
		slices.SortFunc(r.Aggregates, func(a, b msg.AggregateItem) int { return a.Key.Compare(b.Key) })
		for i := range r.Aggregates {
			r.Aggregates[i].MaxServerTimestamp = 0
		}
	case *msg.WatchResponse:
		slices.SortFunc(r.Notifications, func(a, b msg.Notification) int {
			return cmp.Or(a.Key.Compare(b.Key), cmp.Compare(a.Operation, b.Operation))
		})
	case *msg.ErrorResponse:
		r.Message = schemaText.ReplaceAllString(r.Message, `"$1":""`)
	}
}

// rewriter replaces in requests what only held in the recorded run: nonces,
// keys and what follows from them, and server timestamps that filters quote.
type rewriter struct {
	t        *testing.T
	key      *rsa.PrivateKey
	nonce    uint64            // recorded, of the Identify that succeeded
	recorded msg.ID            // the client id it gave
	own      msg.ID            // the one our key gives
	times    map[uint64]uint64 // recorded server timestamp → ours
}

func newRewriter(t *testing.T, rec traces.Recording) *rewriter {
	r := &rewriter{t: t, times: make(map[uint64]uint64)}
	if rec.Scenario == "identity-required" {
		r.takeIdentity(rec)
	}
	return r
}

// takeIdentity makes a key of our own and finds the recorded Identify that
// proved one.
func (r *rewriter) takeIdentity(rec traces.Recording) {
	var err error
	if r.key, err = rsa.GenerateKey(rand.Reader, 2048); err != nil {
		r.t.Fatal(err)
	}
	sum := sha256.Sum256(r.publicKey())
	slices.Reverse(sum[:16])
	r.own = msg.ID(sum[:16])
	pending := make(map[int]*msg.IdentifyRequest)
	for _, s := range rec.Steps {
		if req, ok := r.decode(s).(*msg.IdentifyRequest); ok && s.Do == traces.DoSend {
			pending[s.Conn] = req
		}
		if body, ok := s.Body.([]any); ok && s.Do == traces.DoRecv && s.Type == "Identify" && body[1] != nil {
			r.recorded = msg.ID(body[1].([]byte))
			if r.nonce, err = strconv.ParseUint(pending[s.Conn].Nonce.Value, 10, 64); err != nil {
				r.t.Fatal(err)
			}
		}
	}
	if r.nonce == 0 {
		r.t.Fatal("no Identify of the recording proved a key")
	}
}

func (r *rewriter) publicKey() []byte {
	der, err := x509.MarshalPKIXPublicKey(&r.key.PublicKey)
	if err != nil {
		r.t.Fatal(err)
	}
	return der
}

// decode returns the request of a step, nil for hand-made bytes.
func (r *rewriter) decode(s traces.Step) msg.Request {
	if s.Do != traces.DoSend || s.Body == nil {
		return nil
	}
	h, err := wire.ParseHeader(s.Hex)
	if err != nil {
		r.t.Fatal(err)
	}
	req, err := wire.DecodeRequest(h.Version, msg.RequestType(h.Type), s.Hex[wire.HeaderSize:])
	if err != nil {
		r.t.Fatal(err)
	}
	return req
}

// request returns the bytes to send for a step: those recorded, unless
// something in them must change.
func (r *rewriter) request(s traces.Step) []byte {
	if r.key == nil && len(r.times) == 0 {
		return s.Hex
	}
	req := r.decode(s)
	changed := false
	switch req := req.(type) {
	case *msg.IdentifyRequest:
		changed = r.identify(req)
	case *msg.WriteRequest:
		changed = r.client(&req.ClientID)
	case *msg.ReadRequest:
		// Both ends must be asked: or would skip the second.
		low, high := r.instant(&req.Filters.MinServerTimestamp), r.instant(&req.Filters.MaxServerTimestamp)
		changed = low || high
	}
	if !changed {
		return s.Hex
	}
	h, err := wire.ParseHeader(s.Hex)
	if err != nil {
		r.t.Fatal(err)
	}
	return frameOf(r.t, h.Version, req)
}

// identify signs as recorded: as far from now, and wrongly where it was wrong.
func (r *rewriter) identify(req *msg.IdentifyRequest) bool {
	if !req.Nonce.Set {
		return false
	}
	valid := verifies(req)
	if n, err := strconv.ParseUint(req.Nonce.Value, 10, 64); err == nil {
		offset := int64(n - r.nonce)
		if now := time.Now().UnixMilli() + offset; now > 0 {
			req.Nonce.Value = strconv.FormatInt(now, 10)
		}
	}
	signed := req.Nonce.Value
	if !valid {
		signed += "?"
	}
	digest := sha256.Sum256([]byte(signed))
	signature, err := rsa.SignPKCS1v15(nil, r.key, crypto.SHA256, digest[:])
	if err != nil {
		r.t.Fatal(err)
	}
	req.PublicKey.Value = base64.StdEncoding.EncodeToString(r.publicKey())
	req.Signature.Value = base64.StdEncoding.EncodeToString(signature)
	return true
}

func verifies(req *msg.IdentifyRequest) bool {
	der, err := base64.StdEncoding.DecodeString(req.PublicKey.Value)
	if err != nil {
		return false
	}
	key, err := x509.ParsePKIXPublicKey(der)
	if err != nil {
		return false
	}
	signature, err := base64.StdEncoding.DecodeString(req.Signature.Value)
	digest := sha256.Sum256([]byte(req.Nonce.Value))
	return err == nil && rsa.VerifyPKCS1v15(key.(*rsa.PublicKey), crypto.SHA256, digest[:], signature) == nil
}

func (r *rewriter) client(id *msg.ID) bool {
	if r.key == nil || *id != r.recorded {
		return false
	}
	*id = r.own
	return true
}

// instant moves a quoted timestamp as far as the nearest known one moved.
func (r *rewriter) instant(quoted *msg.Opt[uint64]) bool {
	best, found := uint64(0), false
	for recorded := range r.times {
		if !found || distance(recorded, quoted.Value) < distance(best, quoted.Value) {
			best, found = recorded, true
		}
	}
	const minute = 60_000 // what is farther away was made up by the scenario
	if !quoted.Set || !found || distance(best, quoted.Value) > minute {
		return false
	}
	quoted.Value += r.times[best] - best
	return true
}

func distance(a, b uint64) uint64 { return max(a, b) - min(a, b) }

// learn notes which of our timestamps stand for the recorded ones.
func (r *rewriter) learn(recorded, own msg.Response) {
	a, okA := recorded.(*msg.ReadResponse)
	b, okB := own.(*msg.ReadResponse)
	if !okA || !okB || len(a.Batches) != len(b.Batches) {
		return
	}
	for i := range a.Batches {
		r.times[a.Batches[i].ServerTimestamp] = b.Batches[i].ServerTimestamp
	}
}

// response puts the recorded client id where ours is.
func (r *rewriter) response(resp msg.Response) msg.Response {
	if r.key == nil {
		return resp
	}
	back := func(id *msg.ID) {
		if *id == r.own {
			*id = r.recorded
		}
	}
	switch resp := resp.(type) {
	case *msg.ReadResponse:
		for i := range resp.Batches {
			back(&resp.Batches[i].ClientID)
		}
	case *msg.DetailsResponse:
		back(&resp.LastClientID)
	case *msg.ErrorResponse:
		resp.Message = strings.ReplaceAll(resp.Message, r.own.Int().String(), r.recorded.Int().String())
	}
	return resp
}
