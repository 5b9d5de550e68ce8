// Package stream follows the RTP that one side sends, and makes one stream of all that the other side is sent. Its
// values have no clock and no I/O: the worker of package media owns them.
package stream
