package node

import (
	"fmt"
	"strings"
	"testing"

	"github.com/celeriant/celeriant-go/cmd/celeriant/internal/cli"
	"github.com/celeriant/celeriant-go/msg"
	"github.com/celeriant/celeriant-go/stream"
)

func TestScopes(t *testing.T) {
	id := msg.IDFromUint64
	key := func(org, kind, aggregate uint64) msg.Key {
		return msg.Key{Org: id(org), Type: id(kind), Aggregate: id(aggregate)}
	}
	type flags struct{ orgs, types, aggregates string }
	for f, want := range map[flags]stream.Scope{
		{}:                              stream.Everything(),
		{orgs: "1"}:                     stream.Orgs(id(1)),
		{orgs: "2 1 2"}:                 stream.Orgs(id(1), id(2)),
		{orgs: "1", types: "2 3"}:       stream.Types(id(1), id(2), id(3)),
		{types: "1/3 1/2"}:              stream.Types(id(1), id(2), id(3)),
		{orgs: "1", types: "2 1/3"}:     stream.Types(id(1), id(2), id(3)),
		{orgs: "4 1", types: "2 3"}:     stream.Union(stream.Types(id(1), id(2), id(3)), stream.Types(id(4), id(2), id(3))),
		{orgs: "1", types: "2 4/3 4"}:   stream.Union(stream.Types(id(1), id(2), id(4)), stream.Types(id(4), id(3))),
		{"1", "2", "7 8"}:               stream.Aggregates(key(1, 2, 7), key(1, 2, 8)),
		{"1", "", "2/7"}:                stream.Aggregates(key(1, 2, 7)),
		{"", "1/2", "7"}:                stream.Aggregates(key(1, 2, 7)),
		{"", "", "1/2/7 3/4/7"}:         stream.Aggregates(key(1, 2, 7), key(3, 4, 7)),
		{"1 2", "3", "7"}:               stream.Aggregates(key(1, 3, 7), key(2, 3, 7)),
		{"1", "2", "7 3/8 4/5/6 1/2/7"}: stream.Aggregates(key(1, 2, 7), key(1, 3, 8), key(4, 5, 6)),
	} {
		got, err := (&scopeFlags{strings.Fields(f.orgs), strings.Fields(f.types), strings.Fields(f.aggregates)}).Scope()
		if err != nil || got.String() != want.String() {
			t.Errorf("%+v: %v, %v; want %v", f, got, err, want)
		}
	}
	many := func(form string, n int) string {
		var all []string
		for i := range n {
			all = append(all, fmt.Sprintf(form, i))
		}
		return strings.Join(all, " ")
	}
	for f, want := range map[flags]string{
		{types: "2"}:                        "--type 2 lacks the organisation: add --org, or write ORG/2",
		{aggregates: "7"}:                   "--aggregate 7 lacks the organisation and the type: add --org and --type, or write ORG/TYPE/7",
		{orgs: "1", aggregates: "7"}:        "--aggregate 7 lacks the type: add --type, or write TYPE/7",
		{aggregates: "2/7"}:                 "--aggregate 2/7 lacks the organisation",
		{types: "1/2", aggregates: "2/7"}:   "--aggregate 2/7 lacks the organisation",
		{types: "2", aggregates: "7"}:       "--type 2 lacks the organisation",
		{orgs: "1", types: "1/2"}:           "--org completes nothing, since each --type",
		{orgs: "1", aggregates: "1/2/7"}:    "--org completes nothing, since each --aggregate",
		{types: "1/2", aggregates: "1/2/7"}: "--type completes nothing, since each --aggregate",
		{orgs: "1/2"}:                       `--org "1/2" has 2 parts, want at most 1`,
		{types: "1/2/3"}:                    `--type "1/2/3" has 3 parts, want at most 2`,
		{aggregates: "1/2/3/4"}:             `--aggregate "1/2/3/4" has 4 parts, want at most 3`,
		{orgs: "x"}:                         `--org: "x" is no id`,
		{types: "1/"}:                       `--type: "" is no id`,
		{"1 2", "3", many("%d", 5001)}:      "more than 10000 aggregates",
	} {
		_, err := (&scopeFlags{strings.Fields(f.orgs), strings.Fields(f.types), strings.Fields(f.aggregates)}).Scope()
		if err == nil || cli.ExitStatus(err) != cli.StatusUsage || !strings.Contains(err.Error(), want) {
			t.Errorf("%.60v: %v, want %q", f, err, want)
		}
	}
}
