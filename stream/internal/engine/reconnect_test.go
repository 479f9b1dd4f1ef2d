package engine_test

import (
	"testing"
	"time"

	"github.com/celeriant/celeriant-go/stream/internal/engine"
)

// brief waits 100 ms after each failure.
type brief struct{}

func (brief) NextBackOff() time.Duration { return 100 * time.Millisecond }
func (brief) Reset()                     {}

func TestReconnect(t *testing.T) {
	reconnecting := func(o *engine.Options) { o.NewReconnect = func() engine.Backoff { return brief{} } }
	disconnected := func(r *rig) {
		r.live(3)
		for shard := range uint64(3) {
			r.lose(shard)
		}
		r.skip()
	}
	check(t, []rule{
		{name: "while no watch stands one link is tried, and the others follow it", options: reconnecting, script: func(r *rig) {
			disconnected(r)
			r.pass(999*time.Millisecond, 0, 1, 2)
			r.want()
			r.pass(time.Millisecond, 0, 1, 2)
			r.want("open 0/0 epoch 2")
			r.pass(time.Minute, 0, 1, 2) // the attempt is under way
			r.want()
			r.ack(0)
			r.want("list 0", "open 1/0 epoch 2", "open 2/0 epoch 2")
		}},
		{name: "an attempt that fails is repeated at the pace of NewReconnect, with the link that waits longest", options: reconnecting, script: func(r *rig) {
			disconnected(r)
			r.pass(time.Second, 0, 1, 2)
			r.want("open 0/0 epoch 2")
			for _, open := range []string{"open 1/0 epoch 2", "open 2/0 epoch 2", "open 0/0 epoch 3"} {
				r.shown = nil
				r.lose(map[string]uint64{"open 1/0 epoch 2": 0, "open 2/0 epoch 2": 1, "open 0/0 epoch 3": 2}[open])
				r.want("reconnecting: test")
				r.pass(99*time.Millisecond, 0, 1, 2)
				r.want()
				r.pass(time.Millisecond, 0, 1, 2)
				r.want(open)
			}
		}},
		{name: "watches that stand and fall are not asked for at the pace of NewReconnect", options: reconnecting, script: func(r *rig) {
			disconnected(r)
			for _, wait := range []time.Duration{1, 2, 4, 8} {
				r.pass(wait*time.Second-time.Millisecond, 0, 1, 2)
				r.want()
				r.pass(time.Millisecond, 0, 1, 2)
				if len(r.shown) != 1 {
					r.t.Fatalf("asked for %q after %v", r.shown, wait*time.Second)
				}
				for shard := range uint64(3) {
					r.ack(shard)
				}
				for shard := range uint64(3) {
					r.lose(shard)
				}
				r.skip()
			}
		}},
		{name: "while another watch stands a link has a pace of its own", options: reconnecting, script: func(r *rig) {
			r.live(3)
			r.lose(0)
			r.lose(1)
			r.skip()
			r.pass(time.Second, 0, 1)
			r.want("open 0/0 epoch 2", "open 1/0 epoch 2")
			r.lose(0)
			r.skip()
			r.pass(1999*time.Millisecond, 0, 1)
			r.want()
			r.ack(1)
			r.want("list 1")
			r.pass(time.Millisecond, 0)
			r.want("open 0/0 epoch 3")
		}},
		{name: "reads wait no longer than the watches", options: reconnecting, script: func(r *rig) {
			r.live(1)
			r.frame(wrote(a, 1, 1))
			for range 3 {
				r.fail(a, engine.Unavailable)
				r.pass(8 * time.Second)
			}
			r.fail(a, engine.Unavailable)
			r.lose(0)
			r.pass(time.Second, 0)
			r.skip()
			r.ack(0)
			r.want("catching up", "read a 1-8", "list 0")
		}},
	})
}
