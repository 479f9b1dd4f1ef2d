package main

import (
	"fmt"
	"strconv"

	"github.com/spf13/cobra"

	"github.com/celeriant/celeriant-go/cmd/celeriant/internal/batchjson"
	"github.com/celeriant/celeriant-go/msg"
)

// option is a flag that may be left out, which is different from any value.
type option[T any] struct {
	given msg.Opt[T]
	parse func(string) (T, error)
	kind  string
}

// Set reads the value of the flag.
func (o *option[T]) Set(text string) error {
	v, err := o.parse(text)
	if err == nil {
		o.given = msg.Some(v)
	}
	return err
}

// String returns the value, nothing when there is none.
func (o *option[T]) String() string {
	if !o.given.Set {
		return ""
	}
	return fmt.Sprint(o.given.Value)
}

// Type returns what the help calls the value.
func (o *option[T]) Type() string { return o.kind }

func bindID(c *cobra.Command, name, usage string) *option[msg.ID] {
	o := &option[msg.ID]{parse: batchjson.ParseID, kind: "ID"}
	c.Flags().Var(o, name, usage)
	completeNothing(c, name)
	return o
}

func bindNumber(c *cobra.Command, name, usage string) *option[uint64] {
	parse := func(text string) (uint64, error) {
		n, err := strconv.ParseUint(text, 10, 64)
		if err != nil {
			return 0, fmt.Errorf("%q is no number from 0 to 18446744073709551615", text)
		}
		return n, nil
	}
	o := &option[uint64]{parse: parse, kind: "N"}
	c.Flags().Var(o, name, usage)
	completeNothing(c, name)
	return o
}

// completeNothing keeps the shell from offering files for a flag's value.
func completeNothing(c *cobra.Command, name string) { completeOnly(c, name) }

// completeOnly offers these values of a flag.
func completeOnly(c *cobra.Command, name string, values ...string) {
	cobra.CheckErr(c.RegisterFlagCompletionFunc(name, cobra.FixedCompletions(values, cobra.ShellCompDirectiveNoFileComp)))
}

// aggregateKey is the three flags that name an aggregate.
type aggregateKey struct{ org, kind, aggregate *option[msg.ID] }

func bindKey(c *cobra.Command) *aggregateKey {
	return &aggregateKey{
		org:       bindID(c, "org", "organisation: a UUID, 32 hexadecimal digits or a number"),
		kind:      bindID(c, "type", "aggregate type"),
		aggregate: bindID(c, "aggregate", "aggregate"),
	}
}

// given reports whether any part of it was named.
func (k *aggregateKey) given() bool {
	return k.org.given.Set || k.kind.given.Set || k.aggregate.given.Set
}

// key returns the aggregate that was named.
func (k *aggregateKey) key() (msg.Key, error) {
	for _, part := range []struct {
		name string
		id   *option[msg.ID]
	}{{"org", k.org}, {"type", k.kind}, {"aggregate", k.aggregate}} {
		if !part.id.given.Set {
			return msg.Key{}, usagef("--%s is required", part.name)
		}
	}
	return msg.Key{Org: k.org.given.Value, Type: k.kind.given.Value, Aggregate: k.aggregate.given.Value}, nil
}

// author is who a change is recorded for.
type author struct{ client, user *option[msg.ID] }

func bindAuthor(c *cobra.Command) *author {
	return &author{
		client: bindID(c, "client-id", "client id stored with the change (default: the one --identity-file proves, else a random one)"),
		user:   bindID(c, "user-id", "user id stored with the change"),
	}
}

// clientID returns the client id given, else the one the session proves, else
// a random one.
func (a *author) clientID(s *session) msg.ID {
	if id, ok := a.client.given.Get(); ok {
		return id
	}
	if id, ok := s.security.client.Get(); ok {
		return id
	}
	return randomID()
}
