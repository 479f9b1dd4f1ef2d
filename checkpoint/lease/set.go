package lease

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// Set is a set of partitions, ascending and distinct. Its text, as in
// "0-7,12", is what records hold.
type Set []uint32

// NewSet returns the set of the given partitions.
func NewSet(partitions ...uint32) Set {
	s := slices.Clone(partitions)
	slices.Sort(s)
	return slices.Compact(s)
}

// Has reports whether the partition is in the set.
func (s Set) Has(partition uint32) bool {
	_, found := slices.BinarySearch(s, partition)
	return found
}

// String returns the runs of the set, separated by commas.
func (s Set) String() string {
	var b strings.Builder
	for i := 0; i < len(s); {
		last := i
		for last+1 < len(s) && s[last+1] == s[last]+1 {
			last++
		}
		if i > 0 {
			b.WriteByte(',')
		}
		b.WriteString(strconv.FormatUint(uint64(s[i]), 10))
		if last > i {
			b.WriteString("-" + strconv.FormatUint(uint64(s[last]), 10))
		}
		i = last + 1
	}
	return b.String()
}

// MarshalText returns what String returns.
func (s Set) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// UnmarshalText reads what MarshalText wrote.
func (s *Set) UnmarshalText(text []byte) error {
	*s = nil
	if len(text) == 0 {
		return nil
	}
	for run := range strings.SplitSeq(string(text), ",") {
		from, to, several := strings.Cut(run, "-")
		first, err := strconv.ParseUint(from, 10, 32)
		last := first
		if err == nil && several {
			last, err = strconv.ParseUint(to, 10, 32)
		}
		following := len(*s) == 0 || uint64((*s)[len(*s)-1]) < first
		if err != nil || last < first || last >= 2*MaxPartitions || !following {
			return fmt.Errorf("lease: %q is no set of partitions", text)
		}
		for p := first; p <= last; p++ {
			*s = append(*s, uint32(p))
		}
	}
	return nil
}
