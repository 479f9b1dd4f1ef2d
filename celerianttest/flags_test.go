package celerianttest_test

import (
	"errors"
	"flag"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/celeriant/celeriant-go/celerianttest"
	"github.com/celeriant/celeriant-go/msg"
)

func TestParseFlags(t *testing.T) {
	got, err := celerianttest.ParseFlags([]string{
		"--standalone", "--listen-address", "::1", "--client-port=0", "--num-shards", "4", "--routing-rule", "org_id",
		"--reserve-coordinator-shard", "--max-request-size", "65536", "--max-response-size", "4096", "--list-page-size", "3",
		"--client-connection-timeout-ms", "1200", "--max-requested-latency-ms", "500", "--require-client-identity=true",
		"--data-root", "somewhere", "-quirks", "--insecure-allow-plaintext-auth=false", "--shard-log-preallocate-bytes", "33554432",
		"--memory-budget-bytes", "402653184", "--fsync-delay-us", "4000", "--max-watch-subscribers", "7", "--max-schema-size-bytes", "99",
		"--read-lag-ms", "250",
	})
	if err != nil {
		t.Fatal(err)
	}
	want := celerianttest.Options{
		Address: "[::1]:0", Shards: 4, Routing: msg.RouteByOrg, ReserveCoordinator: true,
		MaxRequestSize: 65536, MaxResponseSize: 4096, ListPageSize: 3, IdleTimeout: 1200 * time.Millisecond,
		MaxLatency: 500 * time.Millisecond, RequireIdentity: true, DataRoot: "somewhere", Quirks: true,
		SegmentBytes: 33554432, CommitDelay: 4 * time.Millisecond, MaxWatchSubscribers: 7, MaxSchemaSize: 99,
		ReadLag: 250 * time.Millisecond,
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
}

func TestNoFlags(t *testing.T) {
	got, err := celerianttest.ParseFlags(nil)
	if err != nil || !reflect.DeepEqual(got, celerianttest.Options{Address: "127.0.0.1:10000"}) {
		t.Fatalf("%+v, %v", got, err)
	}
	if got, err := celerianttest.ParseFlags([]string{"--quirks=false"}); err != nil || got.Quirks {
		t.Fatalf("%+v, %v", got, err)
	}
}

func TestFlagsThatCannotBeUsed(t *testing.T) {
	tests := []struct{ args, message string }{
		{"--s3-enabled", "flag --s3-enabled of the reference server has no meaning here"},
		{"--tls-mode strict", "flag --tls-mode of the reference server has no meaning here"},
		{"--replication-port=1", "flag --replication-port of the reference server has no meaning here"},
		{"--watch-max-requested-latency-ms 7", "unknown flag --watch-max-requested-latency-ms"},
		{"stray", `unexpected argument "stray"`},
		{"--num-shards", "flag --num-shards needs a value"},
		{"--num-shards 0", "0 is less than 1"},
		{"--num-shards x", `"x" is no number`},
		{"--max-request-size 4294967296", "no number that fits"},
		{"--routing-rule shard", "none of aggregate_id, aggregate_type_id, org_id"},
		{"--client-port 65536", "is no port"},
		{"--quirks=maybe", "neither true nor false"},
		{"--data-root=", "the folder's name is empty"},
		{"--max-response-size 10", "MaxResponseSize"},
		{"--client-connection-timeout-ms 18446744073709551615", "too long"},
	}
	for _, test := range tests {
		_, err := celerianttest.ParseFlags(strings.Fields(test.args))
		if err == nil || !strings.Contains(err.Error(), test.message) {
			t.Errorf("%s: %v, want %q in it", test.args, err, test.message)
		}
	}
	var wrong *celerianttest.FlagError
	if _, err := celerianttest.ParseFlags([]string{"--s3-bucket"}); !errors.As(err, &wrong) || wrong.Flag != "s3-bucket" {
		t.Errorf("%v", err)
	}
	if _, err := celerianttest.ParseFlags([]string{"--help"}); !errors.Is(err, flag.ErrHelp) {
		t.Errorf("--help: %v", err)
	}
}

func TestFlagUsageNamesEveryFlag(t *testing.T) {
	usage := celerianttest.FlagUsage()
	for _, name := range []string{"standalone", "client-port", "quirks", "memory-budget-bytes", "routing-rule"} {
		if !strings.Contains(usage, "--"+name) {
			t.Errorf("--%s is not in the help text", name)
		}
	}
}
