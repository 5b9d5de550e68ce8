// Package recording writes calls to files: WAV for listening, pcapng with SIP and RTP for analysis. It knows nothing of
// SIP dialogs.
//
//	media worker --Packet--> ring --+
//	                                +--> writer --> timeline --> WAV
//	SIP readers --Message--> queue -+         \--> datagrams --> pcapng
//
// Words: an [Archive] is the directory with all recordings, and the writers. A [Recorder] records one call; it is the
// media.Tap of the call's session. The [Payloads] of a side say what the side's packets carry. A timeline aligns the
// speech of both sides. A [File] is the state of one file.
//
// A file that is being written ends in .part. After a kill, the next process finishes such files.
//
// # Ownership
//
// The media worker fills the ring. The recorder's writer, one of four goroutines, empties it every 100 ms. A writer
// owns the files that it writes, the timelines and the state of files; other goroutines get copies. Locks guard the
// queue of SIP messages, the copies and the list of recorders; each is held for a few memory operations. The
// directory's lock is held longer while a removed directory is recreated; only code that uses files takes it.
//
// # Decisions
//
// The ring has no lock, and only writers touch the disk. Neither a call nor its media waits for a disk: a slow disk
// costs packets of the recording, which are counted. Tests: TestRingBetweenGoroutines, TestBlockedDisk.
package recording
