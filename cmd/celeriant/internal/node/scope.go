package node

import (
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/celeriant/celeriant-go/cmd/celeriant/internal/batchjson"
	"github.com/celeriant/celeriant-go/cmd/celeriant/internal/cli"
	"github.com/celeriant/celeriant-go/msg"
	"github.com/celeriant/celeriant-go/stream"
)

// mostAggregates bounds a scope of single aggregates: each of them is looked up
// and read at the beginning.
const mostAggregates = 10_000

// scopeFlags say what to follow. A value may be a path that names what encloses
// it; what it leaves out is completed by the flags for that.
type scopeFlags struct{ orgs, types, aggregates []string }

// BindScope adds the flags that say what is followed.
func BindScope(c *cobra.Command) *scopeFlags {
	f := new(scopeFlags)
	flags := c.Flags()
	flags.StringSliceVar(&f.orgs, "org", nil, "only of these organisations")
	flags.StringSliceVar(&f.types, "type", nil, "only of these aggregate types: TYPE, with --org, or ORG/TYPE")
	flags.StringSliceVar(&f.aggregates, "aggregate", nil, "only these aggregates: AGGREGATE, with --org and --type, TYPE/AGGREGATE, with --org, or ORG/TYPE/AGGREGATE")
	for _, name := range []string{"org", "type", "aggregate"} {
		cli.CompleteNothing(c, name)
	}
	return f
}

// Scope returns what to follow.
func (f *scopeFlags) Scope() (stream.Scope, error) {
	orgs, err := f.parseOrgs()
	if err != nil {
		return stream.Scope{}, err
	}
	types, usedOrgs, err := f.parseTypes(orgs)
	if err != nil {
		return stream.Scope{}, err
	}
	switch {
	case len(f.aggregates) > 0:
		return f.aggregateScope(orgs, types, usedOrgs)
	case len(types) > 0:
		if len(orgs) > 0 && !usedOrgs {
			return stream.Scope{}, idle("org", "type")
		}
		var all []stream.Scope
		for _, t := range types {
			all = append(all, stream.Types(t[0], t[1]))
		}
		return stream.Union(all...), nil
	case len(orgs) > 0:
		ids := make([]msg.ID, len(orgs))
		for i, o := range orgs {
			ids[i] = o[0]
		}
		return stream.Orgs(ids...), nil
	}
	return stream.Everything(), nil
}

// path is an organisation, with a type in it, with an aggregate of that.
type path []msg.ID

func (f *scopeFlags) parseOrgs() ([]path, error) {
	var orgs []path
	for _, text := range f.orgs {
		p, err := parsePath("org", text, 1)
		if err != nil {
			return nil, err
		}
		orgs = append(orgs, p)
	}
	return orgs, nil
}

func parsePath(flag, text string, longest int) (path, error) {
	parts := strings.Split(text, "/")
	if len(parts) > longest {
		return nil, cli.Usagef("--%s %q has %d parts, want at most %d", flag, text, len(parts), longest)
	}
	p := make(path, len(parts))
	for i, part := range parts {
		var err error
		if p[i], err = batchjson.ParseID(part); err != nil {
			return nil, cli.Usagef("--%s: %w", flag, err)
		}
	}
	return p, nil
}

// parseTypes completes types by each of the organisations, and reports whether
// that was needed.
func (f *scopeFlags) parseTypes(orgs []path) (all []path, used bool, err error) {
	for _, text := range f.types {
		p, err := parsePath("type", text, 2)
		if err != nil {
			return nil, false, err
		}
		if len(p) == 2 {
			all = append(all, p)
			continue
		}
		if len(orgs) == 0 {
			return nil, false, cli.Usagef("--type %s lacks the organisation: add --org, or write ORG/%s", text, text)
		}
		used = true
		for _, org := range orgs {
			all = append(all, path{org[0], p[0]})
		}
	}
	return all, used, nil
}

// aggregateScope completes aggregates by types and organisations.
func (f *scopeFlags) aggregateScope(orgs, types []path, usedOrgs bool) (stream.Scope, error) {
	var keys []msg.Key
	add := func(prefix, rest path) {
		p := append(slices.Clone(prefix), rest...)
		keys = append(keys, msg.Key{Org: p[0], Type: p[1], Aggregate: p[2]})
	}
	usedTypes := false
	for _, text := range f.aggregates {
		p, err := parsePath("aggregate", text, 3)
		if err != nil {
			return stream.Scope{}, err
		}
		var prefixes []path
		switch len(p) {
		case 1:
			usedTypes = true
			if prefixes = types; len(prefixes) == 0 {
				return stream.Scope{}, lacking(text, len(orgs) == 0)
			}
		case 2:
			usedOrgs = true
			if prefixes = orgs; len(prefixes) == 0 {
				return stream.Scope{}, cli.Usagef("--aggregate %s lacks the organisation: add --org, or write ORG/%s", text, text)
			}
		case 3:
			prefixes = []path{nil}
		}
		if len(keys)+len(prefixes) > mostAggregates {
			return stream.Scope{}, cli.Usagef("more than %d aggregates: follow their types or organisations", mostAggregates)
		}
		for _, prefix := range prefixes {
			add(prefix, p)
		}
	}
	switch {
	case len(types) > 0 && !usedTypes:
		return stream.Scope{}, idle("type", "aggregate")
	case len(orgs) > 0 && !usedOrgs:
		return stream.Scope{}, idle("org", "aggregate")
	}
	return stream.Aggregates(keys...), nil
}

// lacking says what an aggregate id needs to be a key.
func lacking(text string, org bool) error {
	if org {
		return cli.Usagef("--aggregate %s lacks the organisation and the type: add --org and --type, or write ORG/TYPE/%s", text, text)
	}
	return cli.Usagef("--aggregate %s lacks the type: add --type, or write TYPE/%s", text, text)
}

// idle refuses a flag that would change nothing, where it could as well be meant
// to be followed itself.
func idle(flag, complete string) error {
	return cli.Usagef("--%s completes nothing, since each --%s names it already; to follow both, run the command twice", flag, complete)
}

// Starts are the values of --from.
var Starts = map[string]stream.Start{"beginning": stream.FromBeginning, "now": stream.FromNow}
