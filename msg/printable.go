package msg

import (
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"
)

// longestPrintable is how many bytes of a text from the network an error shows.
const longestPrintable = 512

// Printable returns a text that came from the network in a form that is safe
// for errors, logs and terminals: control characters, line breaks, marks that
// change the direction of writing and bytes that are not UTF-8 are escaped as in a
// Go string, and of a text longer than 512 bytes only the beginning is shown, with
// the length of the whole. Printable text is returned as it is; to tell an escape
// from a backslash in the text, look at the text itself.
func Printable(text string) string {
	shown := text
	if len(text) > longestPrintable {
		shown = text[:longestPrintable]
		for cut := 1; cut < utf8.UTFMax && !utf8.RuneStart(text[len(shown)]); cut++ {
			shown = shown[:len(shown)-1]
		}
	}
	var out strings.Builder
	for len(shown) > 0 {
		r, size := utf8.DecodeRuneInString(shown)
		switch {
		case r == utf8.RuneError && size == 1:
			fmt.Fprintf(&out, `\x%02x`, shown[0])
		case strconv.IsPrint(r):
			out.WriteString(shown[:size])
		default:
			quoted := strconv.QuoteRuneToASCII(r)
			out.WriteString(quoted[1 : len(quoted)-1])
		}
		shown = shown[size:]
	}
	if len(text) > longestPrintable {
		fmt.Fprintf(&out, "… (%d bytes)", len(text))
	}
	return out.String()
}
