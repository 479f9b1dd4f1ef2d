package storefaults

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"time"

	"github.com/celeriant/celeriant-go/checkpoint"
	"github.com/celeriant/celeriant-go/msg"
	"github.com/celeriant/celeriant-go/operators"
	"github.com/celeriant/celeriant-go/pool"
	"github.com/celeriant/celeriant-go/stream"
)

// memberOf is the environment variable that turns a test program into a member of a
// group.
const memberOf = "CELERIANT_TEST_MEMBER"

// MemberTTL is the time to live of the members' leases.
const MemberTTL = 3 * time.Second

// Member is a process of a group. Its sources are the group's subscription.
type Member struct {
	// Settings are the group's.
	Settings string
	// Node is the address of the event store.
	Node string
	// Ledger is a file for what is applied, unless the store has a better place.
	Ledger string
}

// ServeMember runs the process of a group, until it is killed, if the environment asks
// for one; otherwise it returns. TestMain calls it first.
func ServeMember(run func(ctx context.Context, m Member) error) {
	text := os.Getenv(memberOf)
	if text == "" {
		return
	}
	var m Member
	err := json.Unmarshal([]byte(text), &m)
	if err == nil {
		err = run(context.Background(), m)
	}
	fmt.Fprintln(os.Stderr, "a member ends:", err)
	os.Exit(1)
}

// source opens the group's subscription.
type source struct {
	pool  *pool.Pool
	store checkpoint.RecordStore
}

// Open implements operators.Source.
func (s source) Open(ctx context.Context) (stream.Consumer, error) {
	return stream.Open(ctx, stream.FromPool(s.pool), stream.Types(ledgerOrg, ledgerType), stream.Options{
		Name: "ledger", Store: s.store, Ownership: stream.Leased, LeaseTTL: MemberTTL, Partitions: 16,
	})
}

var (
	ledgerOrg  = msg.IDFromUint64(71)
	ledgerType = msg.IDFromUint64(72)
)

// Source returns the group's subscription with the positions in store, and tells the
// group that this member is ready.
func (m Member) Source(store checkpoint.RecordStore) (operators.Source, error) {
	p, err := pool.New(pool.Options{Address: m.Node})
	if err != nil {
		return nil, err
	}
	fmt.Println(ready)
	return source{p, store}, nil
}

// ready is what a member says once it begins.
const ready = "ready"

// Batch is what a member applies of a change: a version of an aggregate.
type Batch struct {
	Aggregate, Version uint64
}

// Batches returns what there is to apply in changes.
func Batches(changes ...stream.Change) []Batch {
	var found []Batch
	for _, c := range changes {
		if c.Kind == stream.Batch {
			_, n := c.Key.Aggregate.Uint64s()
			found = append(found, Batch{n, c.Batch.Version})
		}
	}
	return found
}

// Write writes each batch into the file of the ledger: at least once, since the file
// knows of no transaction.
func (m Member) Write(ctx context.Context, store checkpoint.RecordStore) error {
	src, err := m.Source(store)
	if err != nil {
		return err
	}
	ledger, err := os.OpenFile(m.Ledger, os.O_WRONLY|os.O_APPEND, 0)
	if err != nil {
		return err
	}
	defer ledger.Close()
	return operators.ForEach(ctx, src, func(_ context.Context, c stream.Change) error {
		for _, b := range Batches(c) {
			// One write appends the whole line, behind what others wrote.
			if _, err := fmt.Fprintf(ledger, "%d %d %d\n", b.Aggregate, b.Version, os.Getpid()); err != nil {
				return err
			}
		}
		return nil
	})
}
