// Package lease divides a subscription among processes.
package lease
