package checkpoint

import (
	"encoding/json"
	"fmt"
)

// PartitionPrefix begins the keys of the records that hold the partitions'
// claims. A claim that changes a subscription's scope removes them.
const PartitionPrefix = "partition/"

// PartitionKey is the key of a partition's record.
func PartitionKey(partition uint32) string { return fmt.Sprintf(PartitionPrefix+"%04d", partition) }

// partitionFormat is the version of a partition's record.
const partitionFormat = 1

// PartitionRecord is the part of a partition's record that makes the fence. The
// record may hold further fields, which are not looked at here.
type PartitionRecord struct {
	Format int    `json:"format"`
	Epoch  uint64 `json:"epoch"`
	Token  Token  `json:"token"`
}

// ParsePartition reads the fence of a partition's record: a [*VersionError] for
// one of a later release, a [*DamagedError] for anything that is none.
func ParsePartition(value []byte) (PartitionRecord, error) {
	var r PartitionRecord
	if err := json.Unmarshal(value, &r); err != nil {
		return PartitionRecord{}, &DamagedError{Where: "a partition's record", Offset: -1, Reason: err.Error()}
	}
	if r.Format != partitionFormat {
		return PartitionRecord{}, &VersionError{Where: "a partition's record", Found: uint64(r.Format), Supported: partitionFormat}
	}
	return r, nil
}

// Check is the fence of one partition: it returns a [*FencedError] unless the
// record names owner's claim. The zero epoch is nobody's.
func (r PartitionRecord) Check(owner Owner) error {
	if r.Epoch == 0 || r.Epoch != owner.Epoch || r.Token != owner.Token {
		return &FencedError{Owner: owner, Newest: r.Epoch}
	}
	return nil
}
