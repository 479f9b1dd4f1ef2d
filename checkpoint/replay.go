package checkpoint

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"hash/crc32"
	"io"
)

// tail is what a replay came to.
type tail struct {
	// format is the log's.
	format uint32
	// end is where the whole records end, which is less than the log's size if
	// the last one is torn.
	end int64
	// last is the number of the last whole record.
	last uint64
	// sealed tells that nothing but that record's seal follows.
	sealed bool
}

// replay reads a log from its header to its end and hands every change to
// apply, which returns why it cannot follow, if it cannot.
//
// A record that is not whole is a torn tail when no whole record follows and the
// log does not end in its seal: every change is made durable before it is sealed
// and before the next is begun, so only the last can be cut short, and it was
// never acknowledged. Anything else is damage.
func replay(ctx context.Context, f diskFile, path string, apply func(change) error) (tail, error) {
	size, err := f.size()
	if err != nil {
		return tail{}, err
	}
	r := bufio.NewReaderSize(io.NewSectionReader(f, 0, size), 1<<18)
	header, err := r.Peek(int(min(size, headerSize)))
	if err != nil {
		return tail{}, err
	}
	t := tail{end: headerSize}
	if t.format, err = checkHeader(path, header); err != nil {
		return tail{}, err
	}
	_, _ = r.Discard(headerSize)
	var body []byte
	for ; t.end < size; t.end += frameSize + int64(len(body)) {
		if err := ctx.Err(); err != nil {
			return tail{}, err
		}
		var next frame
		var whole bool
		next, body, whole, err = readRecord(r, body, size-t.end)
		if err != nil {
			return tail{}, err
		}
		if !whole {
			err := t.checkSeal(f, path, size)
			if err == nil {
				err = checkTail(f, path, t.end, size)
			}
			return t, err
		}
		if next.number != t.last+1 {
			reason := fmt.Sprintf("record %d follows record %d", next.number, t.last)
			return tail{}, &DamagedError{Where: path, Offset: t.end, Reason: reason}
		}
		c, err := parseBody(body)
		if err == nil {
			err = apply(c)
		}
		if err != nil {
			return tail{}, &DamagedError{Where: path, Offset: t.end, Reason: err.Error()}
		}
		t.last = next.number
	}
	return t, nil
}

// readRecord reads the next record into buf, growing it as needed; whole is
// false if there is none.
func readRecord(r *bufio.Reader, buf []byte, left int64) (f frame, body []byte, whole bool, err error) {
	if left < frameSize {
		return frame{}, buf[:0], false, nil
	}
	head, err := r.Peek(frameSize)
	if err != nil {
		return frame{}, nil, false, err
	}
	f, ok := parseFrame(head)
	if !ok || int64(f.length) > left-frameSize {
		return frame{}, buf[:0], false, nil
	}
	fields := [12]byte(head[4:16])
	_, _ = r.Discard(frameSize)
	if int(f.length) > cap(buf) {
		buf = make([]byte, f.length)
	}
	body = buf[:f.length]
	if _, err := io.ReadFull(r, body); err != nil {
		return frame{}, nil, false, err
	}
	return f, body, checksum(fields[:], body) == f.sum, nil
}

// checkSeal looks at the end of a log whose records end before it, and returns a
// *DamagedError if what follows them was sealed.
func (t *tail) checkSeal(f diskFile, path string, size int64) error {
	if size-t.end < sealSize {
		return nil
	}
	var b [sealSize]byte
	if _, err := f.ReadAt(b[:], size-sealSize); err != nil && err != io.EOF {
		return err
	}
	number, ok := parseSeal(b[:])
	switch {
	case !ok:
		return nil
	case number == t.last && size-t.end == sealSize:
		t.sealed = true
		return nil
	}
	reason := fmt.Sprintf("a broken record, but record %d was stored whole", number)
	return &DamagedError{Where: path, Offset: t.end, Reason: reason}
}

// checkTail returns a *DamagedError if a whole record lies behind the broken
// one at offset.
func checkTail(f diskFile, path string, offset, size int64) error {
	const step = 1 << 18
	window := make([]byte, step+frameSize-1)
	for at := offset + 1; at+frameSize <= size; at += step {
		n, err := f.ReadAt(window[:min(int64(len(window)), size-at)], at)
		if err != nil && err != io.EOF {
			return err
		}
		for i := 0; ; i++ {
			found := bytes.Index(window[i:n], recordMark)
			if found < 0 || i+found >= step {
				break
			}
			i += found
			whole, err := wholeAt(f, at+int64(i), size)
			if err != nil {
				return err
			}
			if whole {
				reason := fmt.Sprintf("a broken record, but a whole one follows at byte %d", at+int64(i))
				return &DamagedError{Where: path, Offset: offset, Reason: reason}
			}
		}
	}
	return nil
}

// wholeAt tells whether a record lies at offset.
func wholeAt(f diskFile, offset, size int64) (bool, error) {
	var head [frameSize]byte
	if size-offset < frameSize {
		return false, nil
	}
	if _, err := f.ReadAt(head[:], offset); err != nil && err != io.EOF {
		return false, err
	}
	fr, ok := parseFrame(head[:])
	if !ok || int64(fr.length) > size-offset-frameSize {
		return false, nil
	}
	sum := crc32.New(castagnoli)
	_, _ = sum.Write(head[4:16])
	if _, err := io.Copy(sum, io.NewSectionReader(f, offset+frameSize, int64(fr.length))); err != nil {
		return false, err
	}
	return sum.Sum32() == fr.sum, nil
}
