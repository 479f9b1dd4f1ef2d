package status

import (
	"fmt"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// longestText is how much of a text from outside is shown, in characters.
const longestText = 300

// clean makes a text from a handler, a store or a node fit to be shown: one line,
// printable characters only, 300 of them at most.
func clean(text string) string {
	var b strings.Builder
	n := 0
	for _, r := range text {
		if n == longestText {
			b.WriteString("…")
			break
		}
		switch {
		case r == utf8.RuneError || unicode.Is(unicode.Bidi_Control, r):
			r = '\uFFFD'
		case unicode.IsSpace(r):
			r = ' '
		case !unicode.IsPrint(r):
			r = '\uFFFD'
		}
		b.WriteRune(r)
		n++
	}
	return strings.TrimSpace(b.String())
}

// clock names an instant by its time of day, and by its date when it is not today's.
func clock(at, now time.Time) string {
	at, now = at.UTC(), now.UTC()
	if now.Sub(at) < 12*time.Hour && now.Day() == at.Day() {
		return at.Format("15:04:05")
	}
	return at.Format("2006-01-02 15:04")
}

// span says a duration in at most two units, as in "4 min 12 s".
func span(d time.Duration) string {
	switch {
	case d < 0:
		return "0 s"
	case d < 10*time.Second:
		return fmt.Sprintf("%.1f s", d.Seconds())
	case d < time.Minute:
		return fmt.Sprintf("%d s", int(d.Seconds()))
	case d < time.Hour:
		return fmt.Sprintf("%d min %d s", int(d.Minutes()), int(d.Seconds())%60)
	case d < 48*time.Hour:
		return fmt.Sprintf("%d h %d min", int(d.Hours()), int(d.Minutes())%60)
	}
	return fmt.Sprintf("%d days %d h", int(d.Hours())/24, int(d.Hours())%24)
}

// count says a number with three digits, as in "1.20 M".
func count(n float64) string {
	switch {
	case n >= 1e9:
		return fmt.Sprintf("%.2f G", n/1e9)
	case n >= 1e6:
		return fmt.Sprintf("%.2f M", n/1e6)
	case n >= 1e4:
		return fmt.Sprintf("%.1f k", n/1e3)
	case n == float64(int64(n)):
		return fmt.Sprintf("%d", int64(n))
	}
	return fmt.Sprintf("%.1f", n)
}

// plural joins a number and a noun.
func plural(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}
