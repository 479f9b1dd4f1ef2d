package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"

	"github.com/spf13/cobra"

	"github.com/celeriant/celeriant-go/msg"
	"github.com/celeriant/celeriant-go/pool"
)

const listHelp = `

A list covers all shards and names everything once, in no order. It is a hint:
"celeriant details" has the last word on one aggregate.`

func newList() *cobra.Command {
	return newGroup("list", "List organisations, aggregate types or aggregates", newListOrgs(), newListTypes(), newListAggregates())
}

func newListOrgs() *cobra.Command {
	c, s := newListOf("orgs", "List the organisations")
	c.RunE = func(c *cobra.Command, _ []string) error {
		return s.do(c.Context(), func(client *pool.Pool) error {
			return printList(c, s, client.ListOrgs(c.Context()), func(id msg.ID) orgLine { return orgLine{id} })
		})
	}
	return c
}

func newListTypes() *cobra.Command {
	c, s := newListOf("types", "List the aggregate types")
	org := bindID(c, "org", "only of this organisation")
	c.RunE = func(c *cobra.Command, _ []string) error {
		return s.do(c.Context(), func(client *pool.Pool) error {
			return printList(c, s, client.ListTypes(c.Context(), pool.ListTypes{Org: org.given}),
				func(item msg.TypeItem) typeLine { return typeLine(item) })
		})
	}
	return c
}

func newListAggregates() *cobra.Command {
	c, s := newListOf("aggregates", "List the aggregates")
	c.Long += "\n\nVersions, counts and sizes cover the newest entry of the node's log only."
	org := bindID(c, "org", "only of this organisation")
	kind := bindID(c, "type", "only of this aggregate type")
	deleted := c.Flags().Bool("include-deleted", false, "list deleted aggregates too")
	c.RunE = func(c *cobra.Command, _ []string) error {
		return s.do(c.Context(), func(client *pool.Pool) error {
			only := pool.ListAggregates{Org: org.given, Type: kind.given, IncludeDeleted: *deleted}
			return printList(c, s, client.ListAggregates(c.Context(), only), lineOf)
		})
	}
	return c
}

func newListOf(name, short string) (*cobra.Command, *session) {
	c := &cobra.Command{Use: name, Short: short, Long: short + "." + listHelp, Args: usageArgs(cobra.NoArgs)}
	return c, bindSession(c)
}

// printList prints one line per item.
func printList[T any, L fmt.Stringer](c *cobra.Command, s *session, items iter.Seq2[T, error], line func(T) L) error {
	out := bufio.NewWriterSize(c.OutOrStdout(), 64<<10)
	encoder := json.NewEncoder(out)
	for item, err := range items {
		if err != nil {
			return errors.Join(out.Flush(), err)
		}
		if s.json {
			err = encoder.Encode(line(item))
		} else {
			_, err = io.WriteString(out, line(item).String()+"\n")
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

func (l orgLine) String() string { return l.Org.String() }

type typeLine struct {
	Org  msg.ID `json:"org"`
	Type msg.ID `json:"type"`
}

func (l typeLine) String() string { return l.Org.String() + "/" + l.Type.String() }

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

func (l aggregateLine) String() string {
	key := msg.Key{Org: l.Org, Type: l.Type, Aggregate: l.Aggregate}
	if l.Deleted {
		return key.String() + "\tdeleted"
	}
	return fmt.Sprintf("%v\tversions %d to %d\t%d bytes", key, l.MinVersion, l.MaxVersion, l.UncompressedSize)
}
