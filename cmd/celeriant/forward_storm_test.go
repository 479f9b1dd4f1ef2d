package main_test

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/celeriant/celeriant-go/celerianttest"
	"github.com/celeriant/celeriant-go/msg"
)

var (
	forwardStorm = flag.Duration("forward.storm", 3*time.Second, "how long instances of forward are killed while events are written")
	forwardNode  = flag.String("forward.node", "", "the address of a node with nothing in it to forward from, instead of one in process")
	forwardPlace = flag.String("forward.place", "", "the checkpoint of the instances, instead of a file of SQLite")
)

// TestForwardStorm has three instances of one name forward to a service that fails three of
// ten requests, is slow, and refuses one aggregate, while events are written and one instance
// after another is killed. Every event comes, in order within its aggregate; the one that is
// refused is parked, and complete once it is released.
//
//covers:g16 g17 killed
func TestForwardStorm(t *testing.T) {
	t.Parallel() // it waits more than it works
	const aggregates, refused, ttl = 40, 5, 3 * time.Second
	address, place := *forwardNode, *forwardPlace
	if address == "" {
		address = celerianttest.Run(t, celerianttest.Options{Shards: 2}).Addr()
	}
	if place == "" {
		place = "sqlite:" + filepath.Join(t.TempDir(), "forward.db")
	}
	p := connect(t, address)
	service := newOutside(t)
	service.slow = 20 * time.Millisecond
	service.refuses = msg.IDFromUint64(refused).String()
	name := fmt.Sprintf("orders %d", time.Now().UnixNano())
	args := []string{
		"--address", address, "--org", "1", "--type", "2", "--to", service.url, "--checkpoint", place, "--name", name,
		"--lease-ttl", ttl.String(), "--partitions", "16",
	}
	instances := []*forwarding{startForward(t, args...), startForward(t, args...), startForward(t, args...)}

	lasts := *forwardStorm
	if testing.Short() {
		lasts /= 3
	}
	chance := rand.New(rand.NewPCG(1, 2))
	versions, kills := 0, 0
	end := time.Now().Add(lasts)
	next := time.After(0)
	for versions < 5 || time.Now().Before(end) {
		select {
		case <-next:
			victim := chance.IntN(len(instances))
			instances[victim].stop(t, os.Kill)
			instances[victim] = startForward(t, args...)
			kills++
			next = time.After(time.Second + time.Duration(chance.Int64N(int64(3*time.Second))))
		default:
			writeOrders(t, p, aggregates, versions, 1)
			versions++
			time.Sleep(200 * time.Millisecond) // between the versions of an aggregate
		}
	}
	began := time.Now()
	service.wait(t, (aggregates-1)*versions)
	late := time.Since(began)
	service.checkOrder(t, aggregates, versions)

	on := []string{"--checkpoint", place, "--name", name}
	list := func() string { return succeeded(t, append([]string{"parked", "list"}, on...)...) }
	for deadline := time.Now().Add(time.Minute); list() == "" && time.Now().Before(deadline); {
		time.Sleep(100 * time.Millisecond) // its owner was killed before it could
	}
	if got := list(); strings.Count(got, "\n") != 1 || !strings.Contains(got, "422 Unprocessable Entity") {
		t.Errorf("parked are %q, want the one aggregate that is refused", got)
	}
	service.mu.Lock()
	service.refuses = ""
	service.mu.Unlock()
	succeeded(t, append([]string{"parked", "release", "--org", "1", "--type", "2", "--aggregate", fmt.Sprint(refused)}, on...)...)
	service.wait(t, aggregates*versions)
	service.checkOrder(t, aggregates, versions)
	if got := list(); got != "" {
		t.Errorf("after the release there is still %q", got)
	}
	for _, instance := range instances {
		if status := instance.stop(t, os.Interrupt); status != 0 {
			t.Errorf("status %d after an interrupt: %s", status, instance.stderr)
		}
	}
	t.Logf("%d events of %d aggregates, %d kills: %d requests, %d failed, %d events came again; the last one %v behind its commit",
		aggregates*versions, aggregates, kills, service.asked, service.failed, service.repeats, late)
	if service.failed == 0 {
		t.Error("the service failed no request: nothing was tested")
	}
}
