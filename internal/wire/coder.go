package wire

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"

	"github.com/klauspost/compress/zstd"
)

// Coder compresses and decompresses bodies with one dictionary. A Coder is safe
// for concurrent use and meant to be shared by all connections to a cluster:
// its tables take a few megabytes. Close releases them. Protocol section 9.
type Coder struct {
	dictionary []byte
	sha256     string
	enc        *zstd.Encoder
	dec        *zstd.Decoder
}

// trainedMagic begins a dictionary in zstd's own format; anything else is raw
// content with dictionary id 0. Protocol section 9.3.
var trainedMagic = []byte{0x37, 0xa4, 0x30, 0xec}

const (
	// maxDecoded bounds what one decompression may produce whatever its header
	// claims; the size given to Decompress bounds it further.
	maxDecoded = maxBody
	// maxBlock is the most one zstd block decompresses to, minBlock the least
	// number of bytes one takes.
	maxBlock = 128 << 10
	minBlock = 4
)

// NewCoder makes a coder of a dictionary, which it copies. NewCoder fails when
// the dictionary is empty, or claims zstd's format and does not have it.
func NewCoder(dictionary []byte) (*Coder, error) {
	if len(dictionary) == 0 {
		return nil, errors.New("wire: a dictionary has at least one byte")
	}
	dictionary = bytes.Clone(dictionary)
	encDict, decDict := zstd.WithEncoderDictRaw(0, dictionary), zstd.WithDecoderDictRaw(0, dictionary)
	if bytes.HasPrefix(dictionary, trainedMagic) {
		encDict, decDict = zstd.WithEncoderDict(dictionary), zstd.WithDecoderDicts(dictionary)
	}
	enc, err := zstd.NewWriter(nil, encDict, zstd.WithEncoderLevel(zstd.SpeedFastest),
		zstd.WithEncoderCRC(false), zstd.WithZeroFrames(true))
	if err != nil {
		return nil, fmt.Errorf("wire: a dictionary of %d bytes cannot be used: %w", len(dictionary), err)
	}
	dec, err := zstd.NewReader(nil, decDict, zstd.WithDecoderConcurrency(0),
		zstd.WithDecoderMaxMemory(maxDecoded), zstd.WithDecodeAllCapLimit(true))
	if err != nil {
		return nil, fmt.Errorf("wire: a dictionary of %d bytes cannot be used: %w", len(dictionary), err)
	}
	sum := sha256.Sum256(dictionary)
	return &Coder{dictionary: dictionary, sha256: hex.EncodeToString(sum[:]), enc: enc, dec: dec}, nil
}

// SHA256 returns the dictionary's hash in lower-case hexadecimal.
func (c *Coder) SHA256() string { return c.sha256 }

// Dictionary returns the dictionary, which must not be changed.
func (c *Coder) Dictionary() []byte { return c.dictionary }

// Compress appends src as one zstd frame to dst. src may be a part of dst.
func (c *Coder) Compress(dst, src []byte) []byte { return c.enc.EncodeAll(src, dst) }

// Decompress appends to dst what the zstd frame src holds, which must be
// exactly size bytes; never more than that is produced. src must not overlap
// the free capacity of dst. On an error dst is returned as it was.
func (c *Coder) Decompress(dst, src []byte, size uint32) ([]byte, error) {
	if err := plausible(src, size); err != nil {
		return dst, err
	}
	have, all := len(dst), len(dst)+int(size)
	room := dst
	if cap(dst) < all {
		room = make([]byte, have, all)
		copy(room, dst)
	}
	// The decoder stops at the capacity it is given.
	out, err := c.dec.DecodeAll(src, room[have:have:all])
	switch {
	case err != nil:
		return dst, fmt.Errorf("wire: decompressing %d bytes to %d: %w", len(src), size, err)
	case len(out) != int(size):
		return dst, fmt.Errorf("wire: %d bytes decompress to %d, not %d", len(src), len(out), size)
	case size > 0 && &out[0] != &room[:all][have]:
		copy(room[have:all], out)
	}
	return room[:all], nil
}

// plausible refuses, before memory is set aside, what cannot decompress to
// size bytes: a frame that says so itself, or too few blocks.
func plausible(src []byte, size uint32) error {
	var h zstd.Header
	if err := h.Decode(src); err != nil {
		return fmt.Errorf("wire: %d compressed bytes are no zstd frame: %w", len(src), err)
	}
	switch {
	case h.Skippable:
		return errors.New("wire: the compressed bytes are a skippable zstd frame")
	case h.HasFCS && h.FrameContentSize != uint64(size):
		return fmt.Errorf("wire: a zstd frame of %d bytes does not have the %d announced", h.FrameContentSize, size)
	case uint64(size) > uint64(len(src)/minBlock+1)*maxBlock:
		return fmt.Errorf("wire: %d compressed bytes cannot hold the %d announced", len(src), size)
	}
	return nil
}

// Close releases the coder's memory. The coder must not be used afterwards.
func (c *Coder) Close() {
	_ = c.enc.Close() // nothing is buffered: only EncodeAll is used
	c.dec.Close()
}
