package stream

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"strconv"
	"strings"
	"sync"

	"github.com/celeriant/celeriant-go/checkpoint/lease"
)

// thisHost identifies this process for others on the same machine.
var thisHost = sync.OnceValue(func() lease.Host {
	boot, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return lease.Host{}
	}
	namespace, err := os.Readlink("/proc/self/ns/pid")
	if err != nil {
		return lease.Host{}
	}
	started, err := processStarted(os.Getpid())
	if err != nil {
		return lease.Host{}
	}
	return lease.Host{Boot: strings.TrimSpace(string(boot)), Namespace: namespace, PID: os.Getpid(), Started: started}
})

// hostEnded reports whether a process of this machine is known to have ended: there is
// none with its number, or one that began at another time.
func hostEnded(h lease.Host) bool {
	here := thisHost()
	if here.Boot == "" || h.Boot != here.Boot || h.Namespace != here.Namespace || h.PID <= 0 {
		return false
	}
	started, err := processStarted(h.PID)
	return errors.Is(err, fs.ErrNotExist) || err == nil && started != h.Started
}

// processStarted is when a process began, in clock ticks since the machine started.
func processStarted(pid int) (uint64, error) {
	stat, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		return 0, err
	}
	// The second field is the program's name in parentheses, which may hold anything.
	_, rest, _ := bytes.Cut(stat[max(0, bytes.LastIndexByte(stat, ')')):], []byte(" "))
	const place = 22 - 3 // of the start among the fields from the third one on
	fields := strings.Fields(string(rest))
	if len(fields) <= place {
		return 0, errors.New("stream: /proc/PID/stat is shorter than expected")
	}
	return strconv.ParseUint(fields[place], 10, 64)
}
