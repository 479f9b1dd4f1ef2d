// Package writer applies commands to aggregates at most once, and usually exactly
// once, whatever is lost on the way.
//
// [Execute] reads an aggregate, decides, and appends on the condition that nothing
// was appended since; [Writer.Append] appends fixed events. A command has an id,
// which is stored with its first event: whoever does not know what became of a
// command repeats it under the same id and learns it.
//
// # How a command is known
//
// Every write enforces client sequences. The sequence of a command is kept until
// its outcome is known ([Sequences]), so that it cannot be stored a second time
// beside its first. A node's answer that a sequence is stored already is no proof that
// the batch is the command's: [Writer.Owner] reads whose it is. After an attempt
// whose outcome is unknown every further write of the command names the version it
// expects, too, because a client sequence alone does not hold when the leader is
// lost.
//
// # Layers
//
// The package stands on the reads and writes of a [Log], which a *[pool.Pool] is;
// it knows nothing of connections and nodes. execution.go is the loop over the
// tries of a command, history.go what reading has shown, claim.go when a sequence
// may be used again, sequences.go and sequence_file.go where sequences come from.
package writer
