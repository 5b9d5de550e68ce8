// Package stream tracks the RTP that one side sends, and merges all RTP for the other side into one stream. Its values
// have no clock and no I/O: the worker of package media owns them.
package stream
