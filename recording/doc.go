// Package recording writes what was said in calls to files: WAV to listen to,
// pcapng with SIP and RTP to look into. It knows nothing of SIP dialogs.
//
//	media worker --Packet--> ring --+
//	                                +--> writer --> timeline --> WAV
//	SIP readers --Message--> queue -+         \--> datagrams --> pcapng
//
// Words: an [Archive] is the directory with all recordings, and the writers. A
// [Recorder] is one call's recording; it is the media.Tap of the call's session. A
// side's [Payloads] say what its packets hold. A timeline puts the speech of both
// sides where it belongs. A [File] is what became of one file.
//
// Ownership. The ring is filled by the goroutine that carries the call's media and
// emptied by the recorder's writer, one of a few goroutines, which look every
// 100 ms. All that touches the disk is done by writers: neither a call nor its
// media waits for one. A ring that is full loses packets, which are counted. What
// is written to, timelines and the state of files, belongs to the writer; others
// see copies. There are locks around the queue of SIP messages, the copies and the
// list of recorders, held for a few memory operations. The one of the directory is
// held longer when that was removed and is made anew; only who uses files takes it.
//
// A file that is being written ends in .part. Of a process that was killed, the
// next one finishes the files.
package recording
