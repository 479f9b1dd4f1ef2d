package celerianttest

import (
	"errors"
	"flag"
	"fmt"
	"net"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/celeriant/celeriant-go/msg"
)

// FlagError is a command-line flag that cannot be used.
type FlagError struct {
	// Flag is the name without dashes, or the argument that is no flag.
	Flag string
	// Reason says what is wrong.
	Reason string
	// Unknown is set when neither the node nor the reference server has such a flag.
	Unknown bool
}

// Error returns the reason, which names the flag.
func (e *FlagError) Error() string { return "celerianttest: " + e.Reason }

// flagSpec describes one flag. One without a value name is a switch.
type flagSpec struct {
	name, value, usage string
	set                func(*parsedFlags, string) error
}

type parsedFlags struct {
	Options
	host, port string
}

// ParseFlags reads command-line flags into Options. The names, and the meaning
// where the node has the feature, are those of the reference server, so the
// flags of a recording start the node that must reproduce it; [FlagUsage] lists
// them with their defaults. Values follow after a space or "=".
//
// A flag of the reference server that means nothing here and a flag nobody
// knows give different [*FlagError]s; -h and --help give flag.ErrHelp.
func ParseFlags(args []string) (Options, error) {
	p := parsedFlags{host: "127.0.0.1", port: "10000"}
	for len(args) > 0 {
		argument := args[0]
		args = args[1:]
		name, value, hasValue := strings.Cut(strings.TrimLeft(argument, "-"), "=")
		if !strings.HasPrefix(argument, "-") {
			return Options{}, &FlagError{Flag: argument, Reason: fmt.Sprintf("unexpected argument %q", argument)}
		}
		if name == "h" || name == "help" {
			return Options{}, flag.ErrHelp
		}
		spec, err := findFlag(name)
		if err != nil {
			return Options{}, err
		}
		if spec.value != "" && !hasValue {
			if len(args) == 0 {
				return Options{}, &FlagError{Flag: name, Reason: fmt.Sprintf("flag --%s needs a value: %s", name, spec.value)}
			}
			value, args = args[0], args[1:]
		}
		if err := spec.apply(&p, value, hasValue); err != nil {
			return Options{}, &FlagError{Flag: name, Reason: fmt.Sprintf("flag --%s: %v", name, err)}
		}
	}
	p.Address = net.JoinHostPort(p.host, p.port)
	if _, err := p.Options.complete(); err != nil {
		return Options{}, err
	}
	return p.Options, nil
}

// apply sets the option. A switch given with a value may also be switched off.
func (s *flagSpec) apply(p *parsedFlags, value string, hasValue bool) error {
	if s.value == "" && hasValue {
		on, err := strconv.ParseBool(value)
		if err != nil {
			return fmt.Errorf("%q is neither true nor false", value)
		}
		if !on {
			return nil
		}
	}
	return s.set(p, value)
}

func findFlag(name string) (*flagSpec, error) {
	at := slices.IndexFunc(flagSpecs, func(s flagSpec) bool { return s.name == name })
	switch {
	case at >= 0:
		return &flagSpecs[at], nil
	case slices.Contains(strings.Fields(referenceOnlyFlags), name):
		return nil, &FlagError{Flag: name, Reason: fmt.Sprintf("flag --%s of the reference server has no meaning here", name)}
	}
	return nil, &FlagError{Flag: name, Reason: fmt.Sprintf("unknown flag --%s", name), Unknown: true}
}

// FlagUsage returns the help text of the flags, one per paragraph.
func FlagUsage() string {
	var text strings.Builder
	for _, s := range flagSpecs {
		fmt.Fprintf(&text, "  --%s", s.name)
		if s.value != "" {
			fmt.Fprintf(&text, " %s", s.value)
		}
		fmt.Fprintf(&text, "\n        %s\n", s.usage)
	}
	return text.String()
}

func switchOn(to func(*parsedFlags) *bool) func(*parsedFlags, string) error {
	return func(p *parsedFlags, _ string) error {
		*to(p) = true
		return nil
	}
}

// number sets an integer of at least low.
func number[T int | uint32 | uint64](low uint64, to func(*parsedFlags) *T) func(*parsedFlags, string) error {
	return func(p *parsedFlags, text string) error {
		n, err := strconv.ParseUint(text, 10, 64)
		if err != nil || uint64(T(n)) != n || T(n) < 0 {
			return fmt.Errorf("%q is no number that fits", text)
		}
		if n < low {
			return fmt.Errorf("%d is less than %d", n, low)
		}
		*to(p) = T(n)
		return nil
	}
}

// duration sets a whole number of units, at least low of them.
func duration(unit time.Duration, low uint64, to func(*parsedFlags) *time.Duration) func(*parsedFlags, string) error {
	return func(p *parsedFlags, text string) error {
		var n uint64
		if err := number(low, func(*parsedFlags) *uint64 { return &n })(p, text); err != nil {
			return err
		}
		if n > uint64(1<<62)/uint64(unit) {
			return fmt.Errorf("%d is too long", n)
		}
		*to(p) = time.Duration(n) * unit
		return nil
	}
}

// accepted takes a number that has no effect.
func accepted(*parsedFlags, string) error { return nil }

func setPort(p *parsedFlags, text string) error {
	if _, err := strconv.ParseUint(text, 10, 16); err != nil {
		return fmt.Errorf("%q is no port", text)
	}
	p.port = text
	return nil
}

func setRouting(p *parsedFlags, text string) error {
	for _, rule := range []msg.RoutingRule{msg.RouteByAggregate, msg.RouteByType, msg.RouteByOrg} {
		if rule.String() == text {
			p.Routing = rule
			return nil
		}
	}
	return fmt.Errorf("%q is none of aggregate_id, aggregate_type_id, org_id", text)
}

func setDataRoot(p *parsedFlags, text string) error {
	if text == "" {
		return errors.New("the folder's name is empty")
	}
	p.DataRoot = text
	return nil
}

func setHost(p *parsedFlags, text string) error {
	p.host = text
	return nil
}
