package cli

import (
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// environmentKey marks the flags that an environment variable can set.
const environmentKey = "celeriant-environment"

// FromEnvironment lets environment variables set flags: CELERIANT_ and the flag's name in
// upper case, with _ for -. A flag on the command line wins.
func FromEnvironment(c *cobra.Command, flags ...string) {
	for _, name := range flags {
		f := c.Flags().Lookup(name)
		variable := "CELERIANT_" + strings.ToUpper(strings.ReplaceAll(name, "-", "_"))
		f.Usage += " [" + variable + "]"
		cobra.CheckErr(c.Flags().SetAnnotation(name, environmentKey, []string{variable}))
	}
}

// SetFromEnvironment sets the flags that were not given and have a variable that is set and
// not empty.
func SetFromEnvironment(c *cobra.Command) error {
	var bad []error
	c.Flags().VisitAll(func(f *pflag.Flag) {
		variable := f.Annotations[environmentKey]
		if f.Changed || len(variable) == 0 {
			return
		}
		value := os.Getenv(variable[0])
		if value == "" {
			return
		}
		if err := c.Flags().Set(f.Name, value); err != nil {
			bad = append(bad, fmt.Errorf("the variable %s is %q, which is no value of --%s: %w", variable[0], value, f.Name, errors.Unwrap(err)))
		}
	})
	if len(bad) > 0 {
		return &UsageError{errors.Join(bad...)}
	}
	return nil
}
