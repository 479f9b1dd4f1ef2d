package platform

import (
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"syscall"
	"testing"
)

func TestErrorNumbers(t *testing.T) {
	wrap := func(err error) error {
		return fmt.Errorf("listening: %w", &net.OpError{Op: "listen", Err: &os.SyscallError{Syscall: "bind", Err: err}})
	}
	for _, c := range []struct {
		err         error
		goos        string
		inUse, pipe bool
	}{
		{wrap(syscall.EADDRINUSE), "linux", true, false},
		{wrap(syscall.EADDRINUSE), "windows", true, false},
		{wrap(syscall.Errno(10048)), "windows", true, false},
		{wrap(syscall.Errno(10048)), "linux", false, false},
		{wrap(syscall.EPIPE), "linux", false, true},
		{wrap(syscall.Errno(109)), "windows", false, true},
		{wrap(syscall.Errno(232)), "windows", false, true},
		{wrap(syscall.Errno(232)), "darwin", false, false},
		{wrap(errors.New("address already in use")), "linux", false, false},
		{nil, "windows", false, false},
	} {
		if inUse, pipe := addressInUse(c.err, c.goos), brokenPipe(c.err, c.goos); inUse != c.inUse || pipe != c.pipe {
			t.Errorf("%s, %v: in use %v, broken pipe %v", c.goos, c.err, inUse, pipe)
		}
	}
}

// A port that is taken is known as such on the system the test runs on.
func TestAddressInUse(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if _, err := net.Listen("tcp", l.Addr().String()); !AddressInUse(err) {
		t.Error(err)
	}
}

func TestSQLiteURI(t *testing.T) {
	for _, c := range []struct{ path, goos, want string }{
		{"/var/lib/app.db", "linux", "file:///var/lib/app.db?_txlock=immediate"},
		{"/odd name?%#.db", "linux", "file:///odd%20name%3F%25%23.db?_txlock=immediate"},
		{`/back\slash.db`, "linux", "file:///back%5Cslash.db?_txlock=immediate"},
		{`C:\data\me\app.db`, "windows", "file:///C:/data/me/app.db?_txlock=immediate"},
		{`\\server\share\app.db`, "windows", "file:////server/share/app.db?_txlock=immediate"},
	} {
		got := sqliteURI(c.path, c.goos, url.Values{"_txlock": {"immediate"}})
		if got != c.want {
			t.Errorf("%s: %s, want %s", c.path, got, c.want)
		}
		if parsed, err := url.Parse(got); err != nil || parsed.Host != "" {
			t.Errorf("%s: host %q, %v", got, parsed.Host, err)
		}
	}
	if got, err := SQLiteURI("app.db", nil); err != nil || got[:8] != "file:///" {
		t.Errorf("%s, %v", got, err)
	}
}
