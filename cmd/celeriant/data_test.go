package main_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/celeriant/celeriant-go/celerianttest"
	"github.com/celeriant/celeriant-go/msg"
)

// fill writes n batches to aggregate 7: "1", "2", ...
func fill(t *testing.T, node *celerianttest.Node, n int) {
	t.Helper()
	client := connect(t, node.Addr())
	for i := range n {
		write(t, client, aggregate(7), string(rune('1'+i)))
	}
}

// read returns the versions of what a read prints.
func versions(t *testing.T, node *celerianttest.Node, args ...string) string {
	t.Helper()
	var all []string
	for line := range strings.Lines(ok(t, node, "", "read", with(key7, args...)...)) {
		version, _, _ := strings.Cut(line, "\t")
		all = append(all, version)
	}
	return strings.Join(all, " ")
}

func TestReadFilters(t *testing.T) {
	node := celerianttest.Run(t, celerianttest.Options{})
	fill(t, node, 3)
	ok(t, node, `{"text":"4","major":2,"client_seq":9,"timestamp":50}`, "write", with(key7, "--client-id", "8", "--user-id", "9")...)
	for args, want := range map[string]string{
		"":                          "1 2 3 4",
		"--from 2":                  "2 3 4",
		"--from 2 --to 3":           "2 3",
		"--limit 2":                 "1 2",
		"--event-type 2":            "4",
		"--event-type 1,2":          "1 2 3 4",
		"--client-id 8":             "4",
		"--exclude-client-id 8":     "1 2 3",
		"--user-id 9":               "4",
		"--exclude-user-id 9":       "1 2 3",
		"--min-client-seq 9":        "4",
		"--max-client-seq 8":        "1 2 3",
		"--min-timestamp 50":        "4",
		"--max-timestamp 49":        "1 2 3",
		"--min-event-seq 3":         "3 4",
		"--max-event-seq 2":         "1 2",
		"--max-server-timestamp 1":  "",
		"--min-server-timestamp 1":  "1 2 3 4",
		"--from 9":                  "",
		"--protocol 3":              "1 2 3 4",
		"--no-compression --from 4": "4",
	} {
		if got := versions(t, node, strings.Fields(args)...); got != want {
			t.Errorf("read %s prints versions %q, want %q", args, got, want)
		}
	}
	fails(t, node, "", 2, "--limit is 0", "read", with(key7, "--limit", "0")...)
}

func TestReadAfterTrim(t *testing.T) {
	node := celerianttest.Run(t, celerianttest.Options{})
	fill(t, node, 4)
	told := lastLine(t, ok(t, node, "", "trim", with(key7, "--keep-from", "3", "--client-id", "7", "--json")...))
	if told["keep_from"] != 3.0 || told["client_id"] != client7 {
		t.Errorf("trim says %v", told)
	}
	if got := versions(t, node); got != "3 4" {
		t.Errorf("read prints versions %q", got)
	}
	fails(t, node, "", 4, "version unavailable", "read", with(key7, "--from", "1")...)
	fails(t, node, "", 1, "trim beyond the newest version", "trim", with(key7, "--keep-from", "5")...)
	fails(t, node, "", 2, "--keep-from is required", "trim", key7...)
}

func TestReadOfNothing(t *testing.T) {
	node := celerianttest.Run(t, celerianttest.Options{})
	r := fails(t, node, "", 4, "aggregate not found", "read", key7...)
	if r.stdout != "" || strings.Contains(r.stderr, "--help") || !strings.HasPrefix(r.stderr, "celeriant read: ") {
		t.Errorf("stdout %q, stderr %q: want one line that names the command", r.stdout, r.stderr)
	}
	if !strings.Contains(r.stderr, aggregate(7).String()) || !strings.Contains(r.stderr, node.Addr()) {
		t.Errorf("stderr %q names not the aggregate or not the node", r.stderr)
	}
	node.Close()
	fails(t, node, "", 1, node.Addr(), "read", key7...)
}

func TestDetailsAndDelete(t *testing.T) {
	node := celerianttest.Run(t, celerianttest.Options{})
	fails(t, node, "", 4, "aggregate not found", "details", key7...)
	fails(t, node, "", 4, "aggregate not found", "delete", key7...)
	fill(t, node, 2)
	d := lastLine(t, ok(t, node, "", "details", with(key7, "--json")...))
	for name, want := range map[string]any{"aggregate": client7, "min_version": 1.0, "max_version": 2.0, "max_event_seq": 2.0, "deleted": false, "last_client_id": client7} {
		if d[name] != want {
			t.Errorf("details: %s is %v, want %v", name, d[name], want)
		}
	}
	if _, there := d["last_user_id"]; there {
		t.Error("details show a user, who is absent")
	}
	fails(t, node, "", 5, "version guard failed", "delete", with(key7, "--expected-version", "1")...)
	fails(t, node, "", 2, "--continue-versions needs --allow-recreate", "delete", with(key7, "--continue-versions")...)
	args := with(key7, "--expected-version", "2", "--allow-recreate", "--continue-versions", "--user-id", "9")
	if got := ok(t, node, "", "delete", args...); got != "deleted "+aggregate(7).String()+"\n" {
		t.Errorf("delete says %q", got)
	}
	text := ok(t, node, "", "details", key7...)
	for _, want := range []string{"deleted                      true\n", "allow recreate               true\n", "sequence continuation  true\n",
		"last user id                 00000000-0000-0000-0000-000000000009\n"} {
		if !strings.Contains(text, want) {
			t.Errorf("details lack %q: %s", want, text)
		}
	}
	fails(t, node, "", 4, "aggregate not found", "read", key7...)
	fill(t, node, 1)
	if got := versions(t, node); got != "1 2 3" {
		t.Errorf("after a continuation read prints versions %q", got)
	}
	ok(t, node, "", "delete", with(key7, "--json")...)
	fails(t, node, `{"text":"a"}`, 5, "recreation not allowed", "write", key7...)
}

func TestChangesWhoseOutcomeIsUnknown(t *testing.T) {
	t.Parallel() // it waits more than it works
	node := celerianttest.Run(t, celerianttest.Options{})
	fill(t, node, 2)
	cutAnswers(node, msg.TypeTrimStartRequest)
	fails(t, node, "", 3, "outcome unknown", "trim", with(key7, "--keep-from", "2")...)
	cutAnswers(node, msg.TypeDeleteRequest)
	fails(t, node, "", 3, "outcome unknown", "delete", key7...)
	cutAnswers(node, msg.TypeDetailsRequest)
	fails(t, node, "", 1, "connection lost", "details", key7...)
}

func TestLists(t *testing.T) {
	node := celerianttest.Run(t, celerianttest.Options{Shards: 3})
	for _, line := range []string{
		`{"text":"a","org":1,"type":1,"aggregate":1}`, `{"text":"a","org":1,"type":1,"aggregate":2}`,
		`{"text":"a","org":1,"type":2,"aggregate":3}`, `{"text":"a","org":2,"type":1,"aggregate":4}`,
	} {
		ok(t, node, line, "write")
	}
	ok(t, node, "", "delete", "--org", "1", "--type", "1", "--aggregate", "2")
	id := func(n string) string { return "00000000-0000-0000-0000-00000000000" + n }
	for args, want := range map[string][]string{
		"orgs":                                 {id("1"), id("2")},
		"types":                                {id("1") + "/" + id("1"), id("1") + "/" + id("2"), id("2") + "/" + id("1")},
		"types --org 2":                        {id("2") + "/" + id("1")},
		"orgs --json":                          {`{"org":"` + id("1") + `"}`, `{"org":"` + id("2") + `"}`},
		"types --org 2 --json":                 {`{"org":"` + id("2") + `","type":"` + id("1") + `"}`},
		"aggregates --org 1 --type 2":          {id("1") + "/" + id("2") + "/" + id("3") + "\tversions 1 to 1\t"},
		"aggregates --org 1 --type 1":          {id("1") + "/" + id("1") + "/" + id("1") + "\tversions 1 to 1\t"},
		"aggregates --org 2 --json":            {`{"org":"` + id("2") + `","type":"` + id("1") + `","aggregate":"` + id("4") + `","deleted":false,"batch_count":1,"min_version":1,`},
		"aggregates --org 1 --include-deleted": {id("1") + "/" + id("1") + "/" + id("1"), id("1") + "/" + id("1") + "/" + id("2") + "\tdeleted", id("1") + "/" + id("2") + "/" + id("3")},
	} {
		got := strings.Split(strings.TrimSuffix(ok(t, node, "", "list "+args), "\n"), "\n")
		slices.Sort(got)
		if !slices.EqualFunc(got, want, strings.HasPrefix) {
			t.Errorf("list %s prints %q, want %q", args, got, want)
		}
	}
}

func TestMisuse(t *testing.T) {
	node := celerianttest.Run(t, celerianttest.Options{})
	for want, args := range map[string][]string{
		"--aggregate is required":     {"read", "--org", "1", "--type", "2"},
		"--type is required":          {"details", "--org", "1"},
		"--org is required":           {"delete"},
		`"x" is no id`:                {"read", "--org", "x"},
		"unknown flag: --colour":      {"trim", "--colour", "red"},
		`there is "a"`:                {"read", "a"},
		`no command "things"`:         {"list", "things"},
		"option ProtocolVersion is 4": with(key7, "--protocol", "4"),
		"option RequestTimeout":       with(key7, "--request-timeout", "-1s"),
	} {
		if args[0] == "--org" {
			args = append([]string{"read"}, args...)
		}
		if args[0] != "list" {
			fails(t, node, "", 2, want, args[0], args[1:]...)
		} else if r := command(t, args...); r.status != 2 || !strings.Contains(r.stderr, want) {
			t.Errorf("%v: status %d, stderr %q", args, r.status, r.stderr)
		}
	}
}
