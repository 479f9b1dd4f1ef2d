package platform

import (
	"net/url"
	"path/filepath"
	"runtime"
	"strings"
)

// SQLiteURI names the database at a path for the SQLite driver, with the driver's
// parameters. The path is made absolute; it may hold any character.
func SQLiteURI(path string, parameters url.Values) (string, error) {
	absolute, err := filepath.Abs(path)
	if err != nil {
		return "", err
	}
	return sqliteURI(absolute, runtime.GOOS, parameters), nil
}

// sqliteURI follows SQLite's rules for file names: the path begins with a slash,
// also before a drive letter, lest the letter be taken for a host.
func sqliteURI(absolute, goos string, parameters url.Values) string {
	if goos == "windows" {
		absolute = strings.ReplaceAll(absolute, `\`, "/")
	}
	if !strings.HasPrefix(absolute, "/") {
		absolute = "/" + absolute
	}
	return "file://" + (&url.URL{Path: absolute}).EscapedPath() + "?" + parameters.Encode()
}
