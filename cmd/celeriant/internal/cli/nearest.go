package cli

import (
	"errors"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// DidYouMean returns the end of an error about an unknown word: the words nearest to it, or
// nothing when none is near.
func DidYouMean(nearest []string) string {
	if len(nearest) == 0 {
		return ""
	}
	return "; did you mean " + strings.Join(nearest, " or ") + "?"
}

// NearestFlags returns the known flags that an unknown one resembles, by cobra's rule for
// commands: at most two letters differ, or the flag begins with name; if there is none, those
// that contain name. All names are without dashes but the ones returned.
func NearestFlags(name string, known []string) []string {
	// A command for each flag makes cobra's rule apply to flags.
	flags := &cobra.Command{SuggestionsMinimumDistance: 2}
	if len(name) <= 2 {
		flags.SuggestionsMinimumDistance = 1 // with 2, all short names would do
	}
	for _, k := range known {
		flags.AddCommand(&cobra.Command{Use: k, Run: func(*cobra.Command, []string) {}})
	}
	nearest := flags.SuggestionsFor(name)
	if len(nearest) == 0 && len(name) >= 4 {
		nearest = slices.DeleteFunc(slices.Clone(known), func(k string) bool { return !strings.Contains(k, name) })
	}
	for i := range nearest {
		nearest[i] = "--" + nearest[i]
	}
	return nearest
}

// FlagError makes an error about the flags of c an error of usage, and names the flags that
// an unknown one resembles.
func FlagError(c *cobra.Command, err error) error {
	var unknown *pflag.NotExistError
	if !errors.As(err, &unknown) {
		return &UsageError{err}
	}
	name := unknown.GetSpecifiedName()
	if short := unknown.GetSpecifiedShortnames(); short != "" {
		name, _, _ = strings.Cut(short, "=") // a long flag with one dash only
	}
	var known []string
	c.Flags().VisitAll(func(f *pflag.Flag) {
		if !f.Hidden {
			known = append(known, f.Name)
		}
	})
	return Usagef("%w%s", err, DidYouMean(NearestFlags(name, known)))
}
