//go:build race

package stream_test

// raceWords is the memory that the race detector adds, as a factor.
const raceWords = 2
