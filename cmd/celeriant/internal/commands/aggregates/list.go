package aggregates

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"

	"github.com/spf13/cobra"

	"github.com/celeriant/celeriant-go/cmd/celeriant/internal/cli"
	"github.com/celeriant/celeriant-go/cmd/celeriant/internal/node"
	"github.com/celeriant/celeriant-go/msg"
	"github.com/celeriant/celeriant-go/pool"
)

const listHelp = `

A list covers all shards and names everything once, in no order. It is a hint:
"celeriant details" has the last word on one aggregate.`

// NewList returns the command list.
func NewList() *cobra.Command {
	return cli.NewGroup("list", "List organisations, aggregate types or aggregates", newListOrgs(), newListTypes(), newListAggregates())
}

func newListOrgs() *cobra.Command {
	c, s := newListOf("orgs", "List the organisations")
	c.RunE = func(c *cobra.Command, _ []string) error {
		return s.Do(c.Context(), func(client *pool.Pool) error {
			orgs := func() iter.Seq2[msg.ID, error] { return client.ListOrgs(c.Context()) }
			return printList(c, s, relisted(c.Context(), s, client, orgs, itself), func(id msg.ID) orgLine { return orgLine{id} })
		})
	}
	return c
}

func newListTypes() *cobra.Command {
	c, s := newListOf("types", "List the aggregate types")
	org := cli.BindID(c, "org", "only of this organisation")
	c.RunE = func(c *cobra.Command, _ []string) error {
		return s.Do(c.Context(), func(client *pool.Pool) error {
			types := func() iter.Seq2[msg.TypeItem, error] {
				return client.ListTypes(c.Context(), pool.ListTypesOptions{Org: org.Given})
			}
			return printList(c, s, relisted(c.Context(), s, client, types, itself), func(item msg.TypeItem) typeLine { return typeLine(item) })
		})
	}
	return c
}

func newListAggregates() *cobra.Command {
	c, s := newListOf("aggregates", "List the aggregates")
	c.Long += "\n\nVersions, counts and sizes cover the newest entry of the node's log only."
	org := cli.BindID(c, "org", "only of this organisation")
	kind := cli.BindID(c, "type", "only of this aggregate type")
	deleted := c.Flags().Bool("include-deleted", false, "list deleted aggregates too")
	c.RunE = func(c *cobra.Command, _ []string) error {
		return s.Do(c.Context(), func(client *pool.Pool) error {
			only := pool.ListAggregatesOptions{Org: org.Given, Type: kind.Given, IncludeDeleted: *deleted}
			aggregates := func() iter.Seq2[msg.AggregateItem, error] { return client.ListAggregates(c.Context(), only) }
			key := func(item msg.AggregateItem) msg.Key { return item.Key }
			return printList(c, s, relisted(c.Context(), s, client, aggregates, key), lineOf)
		})
	}
	return c
}

func newListOf(name, short string) (*cobra.Command, *node.Session) {
	c := &cobra.Command{Use: name, Short: short, Long: short + "." + listHelp, Args: cli.NoArgs}
	return c, node.BindSession(c)
}

// relists is how often a list begins again because its node was lost.
const relists = 5

// relisted begins a list again, at the node that leads then, when the node it
// comes from is lost: another one can make nothing of its cursors. Items that
// were yielded before are left out.
func relisted[T any, K comparable](ctx context.Context, s *node.Session, client *pool.Pool, list func() iter.Seq2[T, error], key func(T) K) iter.Seq2[T, error] {
	if len(s.Options.SeedAddresses) == 0 {
		return list()
	}
	return func(yield func(T, error) bool) {
		yielded := make(map[K]struct{})
		for try := 0; ; try++ {
			var lost error
			for item, err := range list() {
				if err != nil {
					lost = err
					break
				}
				if _, known := yielded[key(item)]; known {
					continue
				}
				yielded[key(item)] = struct{}{}
				if !yield(item, nil) {
					return
				}
			}
			if lost == nil {
				return
			}
			if try == relists || !nodeLost(lost) || !findLeader(ctx, client) {
				var none T
				yield(none, lost)
				return
			}
		}
	}
}

func itself[T any](v T) T { return v }

func nodeLost(err error) bool {
	return cli.IsAny(err, pool.ErrConnect, pool.ErrConnectTimeout, pool.ErrConnectionLost) && !cli.IsAny(err, msg.ErrUnauthorized, pool.ErrCredentials)
}

// findLeader waits, within the failover budget, until some node leads. A
// request that is bound to no node makes the pool see that the last leader is
// gone.
func findLeader(ctx context.Context, client *pool.Pool) bool {
	_, err := client.ListOrgsPage(ctx, new(msg.ListOrgsRequest))
	return err == nil
}

// printList prints one line per item.
func printList[T any, L interface{ text(short bool) string }](c *cobra.Command, s *node.Session, items iter.Seq2[T, error], line func(T) L) error {
	out := bufio.NewWriterSize(c.OutOrStdout(), 64<<10)
	encoder, short := json.NewEncoder(out), cli.Short()
	for item, err := range items {
		if err != nil {
			return errors.Join(out.Flush(), err)
		}
		if s.JSON {
			err = encoder.Encode(line(item))
		} else {
			_, err = io.WriteString(out, line(item).text(short)+"\n")
		}
		if err != nil {
			return fmt.Errorf("printing: %w", err)
		}
	}
	return out.Flush()
}

type orgLine struct {
	Org msg.ID `json:"org"`
}

func (l orgLine) text(short bool) string { return cli.ID(l.Org, short) }

type typeLine struct {
	Org  msg.ID `json:"org"`
	Type msg.ID `json:"type"`
}

func (l typeLine) text(short bool) string { return cli.ID(l.Org, short) + "/" + cli.ID(l.Type, short) }

// aggregateLine leaves out what a node calls 0: it is not available.
type aggregateLine struct {
	Org                msg.ID `json:"org"`
	Type               msg.ID `json:"type"`
	Aggregate          msg.ID `json:"aggregate"`
	Deleted            bool   `json:"deleted"`
	BatchCount         uint64 `json:"batch_count,omitempty"`
	MinVersion         uint64 `json:"min_version,omitempty"`
	MaxVersion         uint64 `json:"max_version,omitempty"`
	MinEventSeq        uint64 `json:"min_event_seq,omitempty"`
	MaxEventSeq        uint64 `json:"max_event_seq,omitempty"`
	MinEventTimestamp  uint64 `json:"min_event_timestamp,omitempty"`
	MaxEventTimestamp  uint64 `json:"max_event_timestamp,omitempty"`
	MinServerTimestamp uint64 `json:"min_server_timestamp,omitempty"`
	MaxServerTimestamp uint64 `json:"max_server_timestamp,omitempty"`
	CompressedSize     uint64 `json:"compressed_size,omitempty"`
	UncompressedSize   uint64 `json:"uncompressed_size,omitempty"`
}

func lineOf(item msg.AggregateItem) aggregateLine {
	return aggregateLine{
		Org: item.Key.Org, Type: item.Key.Type, Aggregate: item.Key.Aggregate, Deleted: item.Deleted,
		BatchCount: item.BatchCount, MinVersion: item.MinVersion, MaxVersion: item.MaxVersion,
		MinEventSeq: item.MinEventSeq, MaxEventSeq: item.MaxEventSeq,
		MinEventTimestamp: item.MinEventTimestamp, MaxEventTimestamp: item.MaxEventTimestamp,
		MinServerTimestamp: item.MinServerTimestamp, MaxServerTimestamp: item.MaxServerTimestamp,
		CompressedSize: item.CompressedSize, UncompressedSize: item.UncompressedSize,
	}
}

func (l aggregateLine) text(short bool) string {
	key := cli.Key(msg.Key{Org: l.Org, Type: l.Type, Aggregate: l.Aggregate}, short)
	if l.Deleted {
		return key + "\tdeleted"
	}
	return fmt.Sprintf("%v\tversions %d to %d\t%d bytes", key, l.MinVersion, l.MaxVersion, l.UncompressedSize)
}
