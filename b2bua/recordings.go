package b2bua

import (
	"context"
	"slices"
	"time"

	"flowbridge/b2bua/kept"
	"flowbridge/b2bua/peers"
	"flowbridge/config"
	"flowbridge/media"
	"flowbridge/media/recording"
	"flowbridge/store/record"
)

// The recording of a call: routes[].record, and orders.

// recordings are those of a call, one at a time.
type recordings struct {
	call    *Call
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

func (rs *recordings) orderStart() error {
	c := rs.call
	switch {
	case c.server.archive == nil:
		return &OrderError{"recordings are not configured", "write recording: {path: …} and restart"}
	case c.route == nil || c.route.Record == config.WantedOff:
		return &OrderError{"calls of this route are not recorded", "write record: on_demand for the route"}
	case c.times.answered.IsZero():
		return &OrderError{"the call is not answered yet", "ask again when its phase is bridged"}
	case rs.current != nil && !rs.current.Failed():
		return &OrderError{"the call is recorded already", "resume it if it pauses"}
	}
	return rs.start(false)
}

func (rs *recordings) orderStop() error {
	if rs.current == nil {
		return notRecorded()
	}
	rs.stop()
	return nil
}

func notRecorded() *OrderError {
	return &OrderError{"the call is not recorded", "start the recording first"}
}

// pause pauses or resumes the recording. It may be repeated.
func (rs *recordings) pause(pause bool) error {
	if rs.current == nil {
		return notRecorded()
	}
	if pause {
		rs.current.Pause()
	} else {
		rs.current.Resume()
	}
	rs.call.log.Info().Bool("paused", pause).Msg("recording")
	return nil
}

// startIfWanted begins the recording of an answered call if its route wants that
// for every call.
func (rs *recordings) startIfWanted() {
	c := rs.call
	if c.route.Record != config.WantedAlways {
		return
	}
	if c.server.archive == nil {
		c.log.Warn().Msg("not recorded: the process runs without recording, restart it")
		return
	}
	if err := rs.start(false); err != nil {
		c.log.Warn().Err(err).Msg("not recorded")
	}
}

// start begins a recording: from now on the recorder gets the session's
// packets and the SIP, earlier SIP included; one that is paused when it is resumed.
func (rs *recordings) start(paused bool) error {
	c := rs.call
	rs.stop() // one that failed
	r, err := c.server.archive.Record(recording.Call{
		ID: c.id, Part: rs.parts + len(rs.all) + 1, Local: c.media.addr,
		Payloads: [2]recording.Payloads{c.agreement.PayloadsOf(media.SideA), c.agreement.PayloadsOf(media.SideB)},
	})
	if err != nil {
		return &OrderError{err.Error(), "look at the log: the process may be stopping"}
	}
	if paused {
		r.Pause()
	}
	rs.current = r
	rs.all = append(slices.Clip(rs.all), r)
	c.ladder.Attach(r)
	c.media.session.SetTap(r)
	// Every recording begins here, by the route or by an order. So announcements to
	// the parties belong here.
	c.log.Info().Int("part", len(rs.all)).Msg("recording started")
	c.ladder.Decide("recording %d starts", len(rs.all))
	rs.beep(time.Now())
	c.notes.mark()
	return nil
}

// goOn continues, in new files, the recording that an earlier process had begun.
func (rs *recordings) goOn(k *kept.Call) {
	if !k.Recording || rs.call.server.archive == nil {
		return
	}
	if err := rs.start(k.Paused); err != nil {
		rs.call.log.Warn().Err(err).Msg("not recorded")
	}
}

// stop ends the recording, if there is one. It neither loses nor delays a
// packet.
func (rs *recordings) stop() {
	c := rs.call
	if rs.current == nil {
		return
	}
	if c.media.session != nil {
		c.media.session.SetTap(nil)
	}
	c.ladder.Attach(nil)
	rs.current.Stop()
	rs.current = nil
	c.log.Info().Int("part", len(rs.all)).Msg("recording stopped")
	c.ladder.Decide("recording %d ends", len(rs.all))
}

// beep tells both sides that the call is recorded, now and at intervals
// (recording.beep). A side that hears another of our sounds gets no beep.
func (rs *recordings) beep(now time.Time) {
	c := rs.call
	rs.beepAt = time.Time{}
	every := c.server.cfg.Recording.Beep
	if every == 0 || rs.current == nil || rs.current.Failed() {
		return
	}
	rs.beepAt = now.Add(every)
	if rs.current.Paused() {
		return
	}
	for _, side := range []media.Side{media.SideA, media.SideB} {
		if c.sounds.voices[side] == nil {
			c.sounds.play(side, &voice{name: peers.ToneBeep, sound: c.peers.Tones[peers.ToneBeep], mix: true, lasts: true})
		}
	}
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
