package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/schollz/progressbar/v3"
)

// showProgress shows how far it is until ctx ends: a bar on a terminal, a line
// every second otherwise.
func showProgress(ctx context.Context, to io.Writer, g *goal, flights int) {
	show, interval, end := lines(to, g, flights), time.Second, func() {}
	if f, ok := to.(*os.File); ok && isTerminal(f) {
		show, end = bar(f, g, flights)
		interval = 100 * time.Millisecond
	}
	defer end()
	ticker := time.NewTicker(interval)
	defer ticker.Stop()
	for {
		select {
		case <-ticker.C:
			show()
		case <-ctx.Done():
			show()
			return
		}
	}
}

func isTerminal(f *os.File) bool {
	info, err := f.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}

func lines(to io.Writer, g *goal, flights int) func() {
	return func() {
		written, p := g.seen()
		fmt.Fprintf(to, "%d of %d flights written, %d events applied, %v\n", written, flights, p.Events, p.State.Phase)
	}
}

func bar(to io.Writer, g *goal, flights int) (show, end func()) {
	b := progressbar.NewOptions(flights, progressbar.OptionSetWriter(to), progressbar.OptionSetDescription("flights written"),
		progressbar.OptionShowCount(), progressbar.OptionSetWidth(30), progressbar.OptionClearOnFinish(),
		progressbar.OptionSetPredictTime(false))
	// A bar that cannot be drawn is no reason to stop.
	show = func() {
		written, p := g.seen()
		b.Describe(fmt.Sprintf("flights written, %d events applied", p.Events))
		_ = b.Set(written)
	}
	return show, func() { _ = b.Finish() }
}
