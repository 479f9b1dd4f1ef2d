package checkpointtest_test

import (
	"fmt"
	"runtime"
	"slices"
	"testing"
	"testing/synctest"

	"github.com/celeriant/celeriant-go/checkpoint/checkpointtest"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// The plain store without a fault passes, so it is the fault that fails.
func TestFaultless(t *testing.T) {
	checkpointtest.Run(t, func(testing.TB) checkpointtest.Fixture { return fixture("") })
}

// faults names each fault's rules: all of them must fail.
var faults = map[string][]string{
	"epochs stay": {"epochs rise"},
	"an acquisition returns before it fences":    {"a superseded owner cannot save", "epochs rise"},
	"scopes not compared":                        {"another scope is refused", "scopes are kept exactly", "a refused claim fences nobody"},
	"scopes cut at 1000 bytes":                   {"scopes are kept exactly"},
	"adoption refused":                           {"an adopted scope replaces the stored one"},
	"adoption forgets":                           {"an adopted scope replaces the stored one"},
	"refused claims fence":                       {"a refused claim fences nobody"},
	"bad scopes accepted":                        {"bad scopes are refused"},
	"bad names accepted":                         {"bad names are refused"},
	"names cut at 254 bytes":                     {"unusual names are different names"},
	"no fence":                                   {"a superseded owner cannot save", "the fence comes before all else", "a save without entries checks the fence", "an owner of nobody's making cannot save", "owners fight, the last one stays", "an acquisition through another handle fences", "deleting fences for ever", "a transaction is fenced"},
	"only older epochs fenced":                   {"an owner of nobody's making cannot save"},
	"empty saves unchecked":                      {"a save without entries checks the fence", "the fence comes before all else"},
	"regressions before the fence":               {"the fence comes before all else"},
	"one fence for all":                          {"fences are per subscription"},
	"handles have fences of their own":           {"an acquisition through another handle fences"},
	"no order at all":                            {"a cursor never goes back", "savers race, no cursor goes back", "one refused entry refuses the save"},
	"order checked before the lock":              {"savers race, no cursor goes back"},
	"lives not compared":                         {"a later life is progress at any version", "a cursor never goes back"},
	"versions compared by 32 bits":               {"a cursor never goes back", "a later life is progress at any version"},
	"equal overwrites":                           {"an equal cursor changes nothing"},
	"equal refused":                              {"an equal cursor changes nothing"},
	"zero cursors stored":                        {"a zero cursor is not stored"},
	"applied up to the refused entry":            {"one refused entry refuses the save", "one refused entry refuses a large save"},
	"checked by portions of 1000":                {"one refused entry refuses a large save", "a refused save leaves its transaction empty"},
	"first of a key wins":                        {"of one key's entries the last wins"},
	"of one key's entries only the last checked": {"one key's entries must not go back"},
	"entries changed":                            {"the caller's entries are neither kept nor changed"},
	"hashes cut to 63 bits":                      {"every field comes back"},
	"aggregates told apart by 8 bytes":           {"unusual ids are different keys"},
	"organisations not told apart":               {"unusual ids are different keys"},
	"look-ups skip what is absent":               {"a look-up is parallel to its keys", "what was never saved is zero"},
	"look-ups are limited":                       {"100,000 keys in one look-up"},
	"an unknown name is an error":                {"what was never saved is zero"},
	"scans end early":                            {"a scan yields every cursor once"},
	"scans repeat":                               {"a scan yields every cursor once"},
	"scans hold the lock":                        {"the loop body may call the store"},
	"scans that are left keep the lock":          {"a scan can be left"},
	"scans ignore the context":                   {"a scan ends with its context"},
	"deleting forgets the epoch":                 {"deleting fences for ever", "deletions survive reopening"},
	"deleting keeps the cursors":                 {"deleting forgets cursors and scope"},
	"deleting keeps the scope":                   {"deleting forgets cursors and scope"},
	"deleting takes neighbours along":            {"deleting leaves others alone"},
	"context ignored":                            {"a cancelled call does nothing"},
	"works on when closed":                       {"a closed store answers ErrClosed"},
	"cursors lost at reopening":                  {"cursors survive reopening"},
	"epochs lost at reopening":                   {"the fence survives reopening"},
	"deletions lost at reopening":                {"deletions survive reopening"},
	"commits lost":                               {"a committed transaction saves"},
	"roll-backs ignored":                         {"a rolled back transaction saves nothing"},
	"transactions unfenced":                      {"under a former claim no handler is called", "a transaction is fenced"},
	"refused saves stay in the transaction":      {"a refused save leaves its transaction empty"},
	"transactions save elsewhere":                {"a transaction sees its own saves", "a committed transaction saves"},
	"commits come after the lock":                {"a claim during a transaction sees it or ends it", "a new owner sees what its forerunner commits", "an inquiry sees what was under way", "a new owner of a partition sees what its forerunner commits"},
	"two steps without a lock":                   {"owners fight, the last one stays"},
	"tokens not compared":                        {"an epoch that was handed out twice is told by its token"},
	"leases unfenced":                            {"a leased owner saves under its own partition", "several partitions are saved at once", "deleting ends leased owners", "partitions are fought for, the last owner stays", "a mutation is applied whole"},
	"rescoping keeps the leases":                 {"a claim of another scope ends leased owners"},
	"what is applied is taken for a regression":  {"what is applied already is refused"},
	"starts not compared":                        {"a save from another cursor is refused", "of those who save from one cursor one wins", "one compared entry refuses the save"},
	"cursors beyond the limit stored":            {"cursors beyond the limit are refused"},
	"record values trimmed":                      {"records come back exactly"},
	"prefixes are patterns":                      {"records are listed by prefix, in order"},
	"revisions not compared":                     {"a record is changed by its revision", "of those who change a record one wins", "a mutation is applied whole", "an exchange writes and reads"},
	"records written before cursors are judged":  {"a mutation is applied whole"},
	"bad mutations accepted":                     {"bad mutations are refused"},
	"limits not heeded":                          {"a limit holds", "of those who fill a limit none passes it"},
	"records of all in one":                      {"subscriptions have records of their own"},
	"deleting keeps the records":                 {"deleting forgets the records"},
	"records of nobody accepted":                 {"a subscription that does not exist has no records", "deleting ends leased owners"},
	"exchanges read before they write":           {"an exchange writes and reads"},
	"deleted names are listed":                   {"subscriptions are described and listed"},
	"records lost at reopening":                  {"records survive reopening"},
	"transactions forget the records":            {"a transaction applies records, too"},
	"commits give no signal":                     {"commits signal"},
	"cut-overs forgotten":                        {"a cut-over fences the predecessor, and rolls back", "a cut-over ends leased owners"},
	"effects outlive their transaction":          {"a handler that fails leaves nothing"},
	"what is applied is applied again":           {"an effect and its cursor commit together, once"},
	"names not told apart":                       {"everything at once", "unusual names are different names", "what was never saved is zero", "a scan yields every cursor once"},
}

// Every fault is caught by every rule that is there to catch it.
func TestFaultsAreCaught(t *testing.T) {
	rules := map[string]checkpointtest.Rule{}
	for _, r := range checkpointtest.Rules() {
		rules[r.Name] = r
	}
	for fault, names := range faults {
		for _, name := range names {
			t.Run(fault+"/"+name, func(t *testing.T) {
				rule, ok := rules[name]
				if !ok {
					t.Fatalf("no such rule")
				}
				look := func(t *testing.T) {
					if verdict := judge(t, rule, fixture(fault)); verdict == "" {
						t.Errorf("the rule does not notice")
					} else {
						t.Logf("caught: %.200s", verdict)
					}
				}
				if fault == "commits give no signal" {
					synctest.Test(t, look) // the rule waits long for what never comes
					return
				}
				look(t)
			})
		}
	}
}

// A rule that no fault can break tests nothing.
func TestEveryRuleCanFail(t *testing.T) {
	for _, r := range checkpointtest.Rules() {
		caught := false
		for _, names := range faults {
			caught = caught || slices.Contains(names, r.Name)
		}
		if !caught {
			t.Errorf("no fault breaks the rule %q", r.Name)
		}
	}
}

// judge runs a rule and returns what it failed with, or "" if it passed.
func judge(t *testing.T, rule checkpointtest.Rule, f checkpointtest.Fixture) string {
	v := &verdict{TB: t}
	done := make(chan struct{})
	go func() {
		defer close(done)
		defer v.cleanUp()
		rule.Check(v, f)
	}()
	<-done
	return v.text
}

// verdict takes failures down instead of failing.
type verdict struct {
	testing.TB
	text     string
	cleanups []func()
}

func (v *verdict) Helper() {}

func (v *verdict) Cleanup(f func()) { v.cleanups = append(v.cleanups, f) }

func (v *verdict) cleanUp() {
	for _, f := range slices.Backward(v.cleanups) {
		f()
	}
}

func (v *verdict) Errorf(format string, args ...any) {
	if v.text == "" {
		v.text = fmt.Sprintf(format, args...)
	}
}

func (v *verdict) Fatalf(format string, args ...any) {
	v.Errorf(format, args...)
	runtime.Goexit()
}
