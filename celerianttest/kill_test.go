package celerianttest_test

import (
	"bufio"
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/celeriant/celeriant-go/celerianttest"
	"github.com/celeriant/celeriant-go/internal/wire"
	"github.com/celeriant/celeriant-go/msg"
)

// childFolder, when set, turns the test binary into a node on that folder.
const childFolder = "CELERIANTTEST_CHILD_FOLDER"

// crashWriters is how many writers the child runs, each on an aggregate of its
// own, on one of two shards.
const crashWriters = 4

// TestKilledProcess kills a process that writes as fast as it can, at random
// instants, again and again on the same folder. Every batch it said was
// acknowledged must be there after the next start, once, with its content, and
// beyond those at most the one write of each writer that was under way.
func TestKilledProcess(t *testing.T) {
	folder := t.TempDir()
	kills := 12
	if testing.Short() {
		kills = 3
	}
	var acked [crashWriters]uint64
	total := uint64(0)
	for range kills {
		said := killChild(t, folder, time.Duration(rand.IntN(60))*time.Millisecond)
		total = 0
		for i, version := range said {
			acked[i] = max(acked[i], version)
			total += acked[i]
		}
		acked = checkStored(t, folder, acked)
	}
	if total < uint64(kills) {
		t.Fatalf("only %d batches were acknowledged before %d kills: the child did no work", total, kills)
	}
}

// killChild starts the child, lets it work for a while after its first word,
// kills it, and returns the last version each writer said was acknowledged.
func killChild(t *testing.T, folder string, after time.Duration) (said [crashWriters]uint64) {
	t.Helper()
	child := exec.Command(os.Args[0])
	child.Env = append(os.Environ(), childFolder+"="+folder)
	child.Stderr = os.Stderr
	out, err := child.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(out)
	var timer *time.Timer
	for lines.Scan() {
		if timer == nil {
			timer = time.AfterFunc(after, func() { _ = child.Process.Kill() })
			defer timer.Stop()
		}
		number, version, whole := strings.Cut(lines.Text(), " ")
		i, errI := strconv.Atoi(number)
		v, errV := strconv.ParseUint(strings.TrimSuffix(version, "."), 10, 64)
		if !whole || errI != nil || errV != nil || !strings.HasSuffix(version, ".") {
			continue // the kill cut the line
		}
		said[i] = v
	}
	if err := child.Wait(); err == nil || child.ProcessState.ExitCode() != -1 {
		t.Fatalf("the child ended by itself: %v", err)
	}
	return said
}

// checkStored opens the folder and returns the versions found.
func checkStored(t *testing.T, folder string, acked [crashWriters]uint64) (found [crashWriters]uint64) {
	t.Helper()
	node := start(t, crashOptions(folder))
	p := dial(t, node)
	for i := range acked {
		k := key(uint64(i))
		for next := uint64(1); next != 0; {
			page, ok := p.call(readFrom(k, next)).(*msg.ReadResponse)
			if !ok {
				break // nothing was stored yet
			}
			for _, b := range page.Batches {
				if found[i]++; b.Version != found[i] || string(b.Events[0].Value) != crashPayload(b.Version) {
					t.Fatalf("writer %d, batch %d is version %d with %d bytes", i, found[i], b.Version, len(b.Events[0].Value))
				}
			}
			next = page.NextVersion.Or(0)
		}
		if found[i] < acked[i] || found[i] > acked[i]+1 {
			t.Errorf("writer %d: %d batches after a kill, %d were acknowledged", i, found[i], acked[i])
		}
	}
	p.close()
	if err := node.Close(); err != nil {
		t.Fatal(err)
	}
	return found
}

func crashOptions(folder string) celerianttest.Options {
	return celerianttest.Options{DataRoot: folder, Shards: 2}
}

func crashPayload(version uint64) string {
	return fmt.Sprintf("%d%s", version, strings.Repeat(".", int(version*37%3000)))
}

// writeUntilKilled is the child: a node, and writers that print a line for each
// acknowledged version. A writer asks for its aggregate's version first: the
// write under way at the last kill may have been stored or not.
func writeUntilKilled(folder string) {
	node, err := celerianttest.Start(crashOptions(folder))
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	var print sync.Mutex
	var writers sync.WaitGroup
	for i := range crashWriters {
		writers.Go(func() {
			if err := writeForEver(node, i, &print); err != nil {
				fmt.Fprintln(os.Stderr, err)
				os.Exit(1)
			}
		})
	}
	writers.Wait()
}

func writeForEver(node *celerianttest.Node, number int, print *sync.Mutex) error {
	socket, err := node.Dial(context.Background())
	if err != nil {
		return err
	}
	k := key(uint64(number))
	version := uint64(0)
	resp, err := exchange(socket, &msg.DetailsRequest{Key: k})
	if details, ok := resp.(*msg.DetailsResponse); ok {
		version = details.MaxVersion
	}
	for ; err == nil; version++ {
		resp, err = exchange(socket, writeTo(k, event(version+1, crashPayload(version+1))))
		if ack, ok := resp.(*msg.WriteResponse); err == nil && (!ok || ack.MaxVersion != msg.Some(version+1)) {
			return fmt.Errorf("writing version %d was answered with %+v", version+1, resp)
		}
		print.Lock()
		_, _ = fmt.Printf("%d %d.\n", number, version+1) // nobody reads: the parent is about to kill
		print.Unlock()
	}
	return err
}

// exchange is one request and its answer, outside of any test.
func exchange(socket interface {
	Read([]byte) (int, error)
	Write([]byte) (int, error)
}, req msg.Request) (msg.Response, error) {
	frame, err := wire.AppendRequest(nil, wire.V2, req, nil, 0)
	if err != nil {
		return nil, err
	}
	if _, err := socket.Write(frame); err != nil {
		return nil, err
	}
	return nextFrame(socket)
}

// nextFrame is one answer more.
func nextFrame(socket interface{ Read([]byte) (int, error) }) (msg.Response, error) {
	h, body, err := wire.ReadResponseFrame(socket, 0, nil, nil)
	if err != nil {
		return nil, err
	}
	return wire.DecodeResponse(h.Version, msg.ResponseType(h.Type), body)
}
