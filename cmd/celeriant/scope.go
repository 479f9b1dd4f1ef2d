package main

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/celeriant/celeriant-go/cmd/celeriant/internal/batchjson"
	"github.com/celeriant/celeriant-go/msg"
	"github.com/celeriant/celeriant-go/stream"
)

const (
	// mostAggregates bounds a scope of single aggregates: each of them is looked
	// up and read at the beginning.
	mostAggregates = 10_000
	// mostScopes bounds the scopes followed at once: each has watches of its own.
	mostScopes = 64
)

// scopeFlags say what to follow. A value may be a path that names what encloses
// it; what it leaves out is completed by the flags for that.
type scopeFlags struct{ orgs, types, aggregates []string }

func bindScope(c *cobra.Command) *scopeFlags {
	f := new(scopeFlags)
	flags := c.Flags()
	flags.StringSliceVar(&f.orgs, "org", nil, "only of these organisations")
	flags.StringSliceVar(&f.types, "type", nil, "only of these aggregate types: TYPE, with --org, or ORG/TYPE")
	flags.StringSliceVar(&f.aggregates, "aggregate", nil, "only these aggregates: AGGREGATE, with --org and --type, TYPE/AGGREGATE, with --org, or ORG/TYPE/AGGREGATE")
	for _, name := range []string{"org", "type", "aggregate"} {
		completeNothing(c, name)
	}
	return f
}

// scopes returns what to follow, several scopes where the protocol has no
// filter for all of it; they have no aggregate in common.
func (f *scopeFlags) scopes() ([]stream.Scope, error) {
	orgs, err := f.parseOrgs()
	if err != nil {
		return nil, err
	}
	types, usedOrgs, err := complete("type", f.types, orgs, "org")
	if err != nil {
		return nil, err
	}
	switch {
	case len(f.aggregates) > 0:
		return f.aggregateScope(orgs, types, usedOrgs)
	case len(types) > 0:
		if len(orgs) > 0 && !usedOrgs {
			return nil, idle("org", "type")
		}
		return typeScopes(types)
	case len(orgs) > 0:
		ids := make([]msg.ID, len(orgs))
		for i, o := range orgs {
			ids[i] = o[0]
		}
		return []stream.Scope{stream.Orgs(ids...)}, nil
	}
	return []stream.Scope{stream.Everything()}, nil
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
		return nil, usagef("--%s %q has %d parts, want at most %d", flag, text, len(parts), longest)
	}
	p := make(path, len(parts))
	for i, part := range parts {
		var err error
		if p[i], err = batchjson.ParseID(part); err != nil {
			return nil, usagef("--%s: %w", flag, err)
		}
	}
	return p, nil
}

// complete puts each of the enclosing paths, which flag by names, before the
// values that need one more part, and reports whether any did.
func complete(flag string, values []string, enclosing []path, by string) (all []path, used bool, err error) {
	for _, text := range values {
		p, err := parsePath(flag, text, 2)
		if err != nil {
			return nil, false, err
		}
		if len(p) == 2 {
			all = append(all, p)
			continue
		}
		if len(enclosing) == 0 {
			return nil, false, usagef("--%s %s lacks the organisation: add --%s, or write ORG/%s", flag, text, by, text)
		}
		used = true
		for _, e := range enclosing {
			all = append(all, path{e[0], p[0]})
		}
	}
	return all, used, nil
}

// aggregateScope completes aggregates by types and organisations.
func (f *scopeFlags) aggregateScope(orgs, types []path, usedOrgs bool) ([]stream.Scope, error) {
	var keys []msg.Key
	add := func(prefix, rest path) {
		p := append(slices.Clone(prefix), rest...)
		keys = append(keys, msg.Key{Org: p[0], Type: p[1], Aggregate: p[2]})
	}
	usedTypes := false
	for _, text := range f.aggregates {
		p, err := parsePath("aggregate", text, 3)
		if err != nil {
			return nil, err
		}
		var prefixes []path
		switch len(p) {
		case 1:
			usedTypes = true
			if prefixes = types; len(prefixes) == 0 {
				return nil, lacking(text, len(orgs) == 0)
			}
		case 2:
			usedOrgs = true
			if prefixes = orgs; len(prefixes) == 0 {
				return nil, usagef("--aggregate %s lacks the organisation: add --org, or write ORG/%s", text, text)
			}
		case 3:
			prefixes = []path{nil}
		}
		if len(keys)+len(prefixes) > mostAggregates {
			return nil, usagef("more than %d aggregates: follow their types or organisations", mostAggregates)
		}
		for _, prefix := range prefixes {
			add(prefix, p)
		}
	}
	switch {
	case len(types) > 0 && !usedTypes:
		return nil, idle("type", "aggregate")
	case len(orgs) > 0 && !usedOrgs:
		return nil, idle("org", "aggregate")
	}
	return []stream.Scope{stream.Aggregates(keys...)}, nil
}

// lacking says what an aggregate id needs to be a key.
func lacking(text string, org bool) error {
	if org {
		return usagef("--aggregate %s lacks the organisation and the type: add --org and --type, or write ORG/TYPE/%s", text, text)
	}
	return usagef("--aggregate %s lacks the type: add --type, or write TYPE/%s", text, text)
}

// idle refuses a flag that would change nothing: a union of an organisation and
// a part of another one is not what the flags say elsewhere.
func idle(flag, complete string) error {
	return usagef("--%s completes nothing, since each --%s names it already; to follow both, run the command twice", flag, complete)
}

// typeScopes makes one scope for each organisation: a watch matches types of
// one organisation, or types whatever the organisation.
func typeScopes(types []path) ([]stream.Scope, error) {
	slices.SortFunc(types, func(a, b path) int { return cmp.Or(a[0].Compare(b[0]), a[1].Compare(b[1])) })
	var scopes []stream.Scope
	for len(types) > 0 {
		org := types[0][0]
		var of []msg.ID
		for len(types) > 0 && types[0][0] == org {
			of, types = append(of, types[0][1]), types[1:]
		}
		scopes = append(scopes, stream.Types(org, of...))
	}
	if len(scopes) > mostScopes {
		return nil, usagef("types of %d organisations, the most is %d: follow the organisations (--org), or everything", len(scopes), mostScopes)
	}
	return scopes, nil
}

// scopeName is the name of a checkpoint that was given none.
func scopeName(name string, scopes []stream.Scope, i int) string {
	text := scopes[i].String()
	switch {
	case name == "":
		return shortened(text)
	case len(scopes) == 1:
		return name
	}
	return shortened(fmt.Sprintf("%s: %s", name, text))
}
