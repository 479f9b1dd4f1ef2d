// Package batchjson is the JSON that the commands print and read: one form of
// a batch wherever one is printed, and one form of an event line to write.
//
// Ids are UUID text, numbers are JSON numbers, bytes are base64, and what is
// absent is left out.
package batchjson
