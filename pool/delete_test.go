package pool_test

import (
	"errors"
	"reflect"
	"testing"

	"github.com/celeriant/celeriant-go/celerianttest"
	"github.com/celeriant/celeriant-go/msg"
	"github.com/celeriant/celeriant-go/pool"
)

// Every option of a delete is in its request.
func TestDeleteAggregateRequest(t *testing.T) {
	var got msg.DeleteRequest
	f := serve(t, each(func(p *peer, req msg.Request) msg.Response {
		got = *req.(*msg.DeleteRequest)
		return &msg.DeleteResponse{}
	}))
	user := msg.IDFromUint64(9)
	err := open(t, plain(f)).DeleteAggregate(ctx, key, me, pool.DeleteOptions{
		ExpectedVersion: msg.Some[uint64](4), AllowRecreate: true, AllowSequenceContinuation: true, UserID: msg.Some(user),
	})
	got.Correlated = msg.Correlated{}
	want := msg.DeleteRequest{ClientID: me, UserID: msg.Some(user), Deletes: []msg.AggregateDelete{
		{Key: key, ExpectedVersion: msg.Some[uint64](4), AllowRecreate: true, AllowSequenceContinuation: true},
	}}
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("%+v, %v", got, err)
	}
}

func TestDeleteAggregate(t *testing.T) {
	p := open(t, pool.Options{Address: celerianttest.Run(t, celerianttest.Options{}).Addr()})
	version, err := p.WriteEvents(ctx, key, events(1, nil), me, pool.WriteOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if err := p.DeleteAggregate(ctx, key, me, pool.DeleteOptions{ExpectedVersion: msg.Some(version + 1)}); !errors.Is(err, msg.ErrConflict) {
		t.Errorf("another version: %v", err)
	}
	if err := p.DeleteAggregate(ctx, key, me, pool.DeleteOptions{ExpectedVersion: msg.Some(version)}); err != nil {
		t.Fatal(err)
	}
	if err := p.DeleteAggregate(ctx, key, me, pool.DeleteOptions{}); !errors.Is(err, msg.ErrNotFound) {
		t.Errorf("once more: %v", err)
	}
	if _, err := p.WriteEvents(ctx, key, events(1, nil), me, pool.WriteOptions{}); err == nil {
		t.Error("it came back")
	}
}
