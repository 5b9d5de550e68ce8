package b2bua

import (
	"context"
	"slices"
	"time"

	"flowbridge/b2bua/kept"
	"flowbridge/config"
	"flowbridge/media"
	"flowbridge/media/recording"
	"flowbridge/store/record"
)

// The recording of a call: routes[].record, and orders.

// recordings are those of a call, one at a time.
type recordings struct {
	current *recording.Recorder   // nil: none
	all     []*recording.Recorder // past and current
	past    []record.Recording    // of earlier processes
	parts   int                   // of these
	beepAt  time.Time             // zero: no beep is due
}

// The states of a call's recording.
const (
	recordingOff    = "off"
	recordingOn     = "on"
	recordingPaused = "paused"
	recordingFailed = "failed" // why is in the record's recordings
)

// recordingWait is how long the record of a call waits for its files to be finished.
// Files that take longer are finished all the same.
const recordingWait = 2 * time.Second

func (c *Call) orderedToRecord() error {
	switch {
	case c.server.archive == nil:
		return &OrderError{"recordings are not configured", "write recording: {path: …} and restart"}
	case c.route == nil || c.route.Record == config.WantedOff:
		return &OrderError{"calls of this route are not recorded", "write record: on_demand for the route"}
	case c.times.answered.IsZero():
		return &OrderError{"the call is not answered yet", "ask again when its phase is bridged"}
	case c.recordings.current != nil && !c.recordings.current.Failed():
		return &OrderError{"the call is recorded already", "resume it if it pauses"}
	}
	return c.startRecording(false)
}

func (c *Call) orderedToStop() error {
	if c.recordings.current == nil {
		return notRecorded()
	}
	c.stopRecording()
	return nil
}

func notRecorded() *OrderError {
	return &OrderError{"the call is not recorded", "start the recording first"}
}

// pauseRecording pauses or resumes the recording. It may be repeated.
func (c *Call) pauseRecording(pause bool) error {
	if c.recordings.current == nil {
		return notRecorded()
	}
	if pause {
		c.recordings.current.Pause()
	} else {
		c.recordings.current.Resume()
	}
	c.log.Info().Bool("paused", pause).Msg("recording")
	return nil
}

// recordIfWanted begins the recording of an answered call if its route wants that
// for every call.
func (c *Call) recordIfWanted() {
	if c.route.Record != config.WantedAlways {
		return
	}
	if c.server.archive == nil {
		c.log.Warn().Msg("not recorded: the process runs without recording, restart it")
		return
	}
	if err := c.startRecording(false); err != nil {
		c.log.Warn().Err(err).Msg("not recorded")
	}
}

// startRecording begins a recording: from now on the recorder gets the session's
// packets and the SIP, earlier SIP included; one that is paused when it is resumed.
func (c *Call) startRecording(paused bool) error {
	c.stopRecording() // one that failed
	r, err := c.server.archive.Record(recording.Call{
		ID: c.id, Part: c.recordings.parts + len(c.recordings.all) + 1, Local: c.media.addr,
		Payloads: [2]recording.Payloads{c.agreement.PayloadsOf(media.SideA), c.agreement.PayloadsOf(media.SideB)},
	})
	if err != nil {
		return &OrderError{err.Error(), "look at the log: the process may be stopping"}
	}
	if paused {
		r.Pause()
	}
	c.recordings.current = r
	c.recordings.all = append(slices.Clip(c.recordings.all), r)
	c.ladder.Attach(r)
	c.media.session.SetTap(r)
	// Every recording begins here, by the route or by an order. So announcements to
	// the parties belong here.
	c.log.Info().Int("part", len(c.recordings.all)).Msg("recording started")
	c.ladder.Decide("recording %d starts", len(c.recordings.all))
	c.beep(time.Now())
	c.note()
	return nil
}

// recordAgain goes on with the recording of the process before, in new files.
func (c *Call) recordAgain(k *kept.Call) {
	if !k.Recording || c.server.archive == nil {
		return
	}
	if err := c.startRecording(k.Paused); err != nil {
		c.log.Warn().Err(err).Msg("not recorded")
	}
}

// stopRecording ends the recording, if there is one. It neither loses nor delays a
// packet.
func (c *Call) stopRecording() {
	if c.recordings.current == nil {
		return
	}
	if c.media.session != nil {
		c.media.session.SetTap(nil)
	}
	c.ladder.Attach(nil)
	c.recordings.current.Stop()
	c.recordings.current = nil
	c.log.Info().Int("part", len(c.recordings.all)).Msg("recording stopped")
	c.ladder.Decide("recording %d ends", len(c.recordings.all))
}

// state is one of the constants above.
func (r *recordings) state() string {
	switch {
	case r.current == nil:
		return recordingOff
	case r.current.Failed():
		return recordingFailed
	case r.current.Paused():
		return recordingPaused
	default:
		return recordingOn
	}
}

// recordingsOf are the recordings' entries in the record.
func recordingsOf(all []*recording.Recorder) []record.Recording {
	files := []record.Recording{}
	for _, r := range all {
		for _, f := range r.Files() {
			files = append(files, record.Recording{
				File: f.Name, Format: f.Format, StartedAt: record.TimeOf(f.StartedAt), EndedAt: record.TimeOf(f.EndedAt),
				Bytes: f.Bytes, Dropped: f.Dropped, Error: f.Err,
			})
		}
	}
	return files
}

// settledRecordings is recordingsOf when all files are written, or after
// recordingWait.
func settledRecordings(ctx context.Context, all []*recording.Recorder) []record.Recording {
	limit := time.NewTimer(recordingWait)
	defer limit.Stop()
	for _, r := range all {
		select {
		case <-r.Done():
			continue
		case <-limit.C:
		case <-ctx.Done():
		}
		break
	}
	files := recordingsOf(all)
	for i := range files {
		if files[i].EndedAt.IsZero() {
			files[i].Error = "not written yet when the call ended: the disk is slow, or the process was being stopped"
		}
	}
	return files
}

// mediaDescribed: a side's payload types may have changed.
func (c *Call) mediaDescribed() {
	c.applyMask()
	if c.recordings.current == nil {
		return
	}
	for _, side := range []media.Side{media.SideA, media.SideB} {
		c.recordings.current.SetPayloads(side, c.agreement.PayloadsOf(side))
	}
}
