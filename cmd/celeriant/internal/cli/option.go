package cli

import (
	"fmt"
	"strconv"

	"github.com/spf13/cobra"

	"github.com/celeriant/celeriant-go/cmd/celeriant/internal/batchjson"
	"github.com/celeriant/celeriant-go/msg"
)

// Option is a flag that may be left out, which is different from any value.
type Option[T any] struct {
	Given msg.Opt[T]
	parse func(string) (T, error)
	kind  string
}

// Set reads the value of the flag.
func (o *Option[T]) Set(text string) error {
	v, err := o.parse(text)
	if err == nil {
		o.Given = msg.Some(v)
	}
	return err
}

// String returns the value, nothing when there is none.
func (o *Option[T]) String() string {
	if !o.Given.Set {
		return ""
	}
	return fmt.Sprint(o.Given.Value)
}

// Type returns what the help calls the value.
func (o *Option[T]) Type() string { return o.kind }

// BindID adds a flag that takes an id.
func BindID(c *cobra.Command, name, usage string) *Option[msg.ID] {
	o := &Option[msg.ID]{parse: batchjson.ParseID, kind: "ID"}
	c.Flags().Var(o, name, usage)
	CompleteNothing(c, name)
	return o
}

// BindNumber adds a flag that takes a number.
func BindNumber(c *cobra.Command, name, usage string) *Option[uint64] {
	parse := func(text string) (uint64, error) {
		n, err := strconv.ParseUint(text, 10, 64)
		if err != nil {
			return 0, fmt.Errorf("%q is no number from 0 to 18446744073709551615", text)
		}
		return n, nil
	}
	o := &Option[uint64]{parse: parse, kind: "N"}
	c.Flags().Var(o, name, usage)
	CompleteNothing(c, name)
	return o
}

// CompleteNothing keeps the shell from offering files for a flag's value.
func CompleteNothing(c *cobra.Command, name string) { CompleteOnly(c, name) }

// CompleteOnly offers these values of a flag.
func CompleteOnly(c *cobra.Command, name string, values ...string) {
	cobra.CheckErr(c.RegisterFlagCompletionFunc(name, cobra.FixedCompletions(values, cobra.ShellCompDirectiveNoFileComp)))
}

// AggregateKey is the three flags that name an aggregate.
type AggregateKey struct{ Org, Kind, Aggregate *Option[msg.ID] }

// BindKey adds the flags --org, --type and --aggregate.
func BindKey(c *cobra.Command) *AggregateKey {
	return &AggregateKey{
		Org:       BindID(c, "org", "organisation: a UUID, 32 hexadecimal digits or a number"),
		Kind:      BindID(c, "type", "aggregate type"),
		Aggregate: BindID(c, "aggregate", "aggregate"),
	}
}

// Given reports whether any part of it was named.
func (k *AggregateKey) Given() bool {
	return k.Org.Given.Set || k.Kind.Given.Set || k.Aggregate.Given.Set
}

// Key returns the aggregate that was named.
func (k *AggregateKey) Key() (msg.Key, error) {
	for _, part := range []struct {
		name string
		id   *Option[msg.ID]
	}{{"org", k.Org}, {"type", k.Kind}, {"aggregate", k.Aggregate}} {
		if !part.id.Given.Set {
			return msg.Key{}, Usagef("--%s is required", part.name)
		}
	}
	return msg.Key{Org: k.Org.Given.Value, Type: k.Kind.Given.Value, Aggregate: k.Aggregate.Given.Value}, nil
}
