package pool_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"syscall"
	"time"

	"github.com/celeriant/celeriant-go/celerianttest"
	"github.com/celeriant/celeriant-go/msg"
	"github.com/celeriant/celeriant-go/pool"
)

// An error matches its cause only; what every node did is data.
func ExampleError_Attempts() {
	refuse := func(context.Context, string, string) (net.Conn, error) { return nil, syscall.ECONNREFUSED }
	p, err := pool.New(pool.Options{Address: "a.example:10000", SeedAddresses: []string{"b.example:10000"}, FailoverBudget: 500 * time.Millisecond, Dial: refuse})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer p.Close(context.Background())
	_, err = p.WriteEvents(context.Background(), key, []msg.Event{{Major: 1}}, me, pool.WriteOptions{})
	var failure *pool.Error
	if errors.As(err, &failure) {
		for _, a := range failure.Attempts() {
			fmt.Printf("%s: sent %v, applied %v, refused %v\n", a.Node, a.Sent, a.Applied, errors.Is(a.Err, syscall.ECONNREFUSED))
		}
	}
	fmt.Println("no leader:", errors.Is(err, pool.ErrNoLeader), "safe to retry:", msg.SafeToRetry(err))
	// Output:
	// a.example:10000: sent false, applied no, refused true
	// b.example:10000: sent false, applied no, refused true
	// no leader: true safe to retry: true
}

// Hooks feed metrics; Stats feeds a status page.
func ExampleHooks() {
	node, err := celerianttest.Start(celerianttest.Options{InMemory: true})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer node.Close()
	p, err := pool.New(pool.Options{Address: node.Addr(), Dial: node.DialContext, Hooks: pool.Hooks{
		Done:   func(d pool.Done) { fmt.Println(d.Op, "took", d.Attempts, "attempt, failed:", d.Err != nil) },
		Leader: func(string) { fmt.Println("a node has proved to lead") },
	}})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer p.Close(context.Background())
	if _, err := p.WriteEvents(context.Background(), key, []msg.Event{{Major: 1}}, me, pool.WriteOptions{}); err != nil {
		fmt.Println(err)
	}
	s := p.Stats()
	fmt.Println("leading:", s.Nodes[0].Leadership, "- breaker:", s.Nodes[0].Breaker, "- connections:", s.Nodes[0].Open)
	// Output:
	// a node has proved to lead
	// write took 1 attempt, failed: false
	// leading: leading - breaker: closed - connections: 1
}
