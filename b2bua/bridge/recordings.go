package bridge

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/rs/zerolog"

	"flowbridge/b2bua/registry"
	"flowbridge/b2bua/sdp"
	"flowbridge/b2bua/snapshot"
	"flowbridge/config"
	"flowbridge/media"
	"flowbridge/media/recording"
	"flowbridge/store/record"
)

// This file starts and stops a call's recordings, because of routes[].record or a command.

// Recordings holds the recordings of a call. At most one is running.
type Recordings struct {
	idle
	current *recording.Recorder   // nil if none
	all     []*recording.Recorder // recorded by this process, including the current one
	past    []record.Recording    // recorded by earlier processes
	parts   int                   // number of recordings by earlier processes
	told    bool                  // the caller was told, and has accepted
	beepAt  time.Time             // when the next beep is due; zero if none

	again snapshot.Recordings // the recording that an earlier process had started; cleared by begin
}

func (rs *Recordings) save(sheet *snapshot.Sheet) {
	k := &sheet.Bridge.Recordings
	*k = rs.again
	if rs.current != nil {
		k.On, k.Paused = !rs.current.Failed(), !rs.current.Failed() && rs.current.Paused()
	}
	k.Parts, k.Told = rs.parts+len(rs.all), rs.told
}

func (rs *Recordings) restore(k *snapshot.Bridge) {
	rs.again, rs.parts, rs.told = k.Recordings, k.Recordings.Parts, k.Recordings.Told
}

func (rs *Recordings) on(e Event) (handled bool) {
	switch e := e.(type) {
	case Routed:
		if rs.bridge.Call.Route().Record == config.WantedOff {
			rs.bridge.Ladder.Unrecorded()
		}
	case Answered:
		rs.startIfWanted(config.WantedAlways)
		if rs.told { // in early media
			rs.startIfWanted(config.WantedTold)
		}
	case Told:
		if rs.told = true; rs.bridge.Call.Moment().Answered {
			rs.startIfWanted(config.WantedTold)
		}
	case Rerouted:
		rs.follow()
	case describing:
		if rs.current != nil {
			for side, payloads := range rs.bridge.payloads() {
				rs.current.SetPayloads(media.Side(side), payloads)
			}
		}
	case replaced:
		rs.stop()
		rs.again = e.Recordings
	case Undone:
		rs.begin()
	}
	return false
}

func (rs *Recordings) obey(o Order) (handled bool, err error) {
	switch o {
	case OrderRecord:
		return true, rs.orderStart()
	case OrderStop, OrderPause, OrderResume:
		return true, rs.orderOther(o)
	case OrderMask, OrderUnmask, OrderHold, OrderUnhold, OrderHangup:
	}
	return false, nil
}

func (rs *Recordings) show(live *registry.LiveCall) { live.Recording = rs.State() }

func (rs *Recordings) end() {
	rs.beepAt = time.Time{}
	rs.stop()
}

// The states of a call's recording.
const (
	RecordingOff    = "off"
	RecordingOn     = "on"
	RecordingPaused = "paused"
	RecordingFailed = "failed" // the call's record says why
)

// orderStart starts a recording for an operator.
func (rs *Recordings) orderStart() error {
	b := rs.bridge
	switch {
	case b.Archive == nil:
		return refused("recordings are not configured", "write recording: {path: …} and restart")
	case b.Call.Route() == nil || b.Call.Route().Record == config.WantedOff:
		return refused("calls of this route are not recorded", "write record: on_demand for the route")
	case !b.Call.Moment().Answered:
		return NotAnswered()
	case b.Saying.TellsCaller():
		return refused("the caller is being told something", "ask again when it was")
	case b.Call.Route().Record == config.WantedTold && !rs.told:
		return refused("the caller was not told yet, or has not accepted",
			"ask again when it was, or write record: on_demand")
	case rs.current != nil && !rs.current.Failed():
		return refused("the call is recorded already", "resume it if it pauses")
	}
	return rs.start(false)
}

// orderOther stops, pauses or resumes the recording for an operator. Pausing and resuming may be
// repeated.
func (rs *Recordings) orderOther(o Order) error {
	switch {
	case rs.current == nil:
		return refused("the call is not recorded", "start the recording first")
	case o == OrderStop:
		rs.stop()
		return nil
	case o == OrderPause:
		rs.current.Pause()
	default:
		rs.current.Resume()
	}
	rs.bridge.Log.Info().Bool("paused", o == OrderPause).Msg("recording")
	return nil
}

// startIfWanted starts the recording of an answered call if its route records such calls.
func (rs *Recordings) startIfWanted(such config.Wanted) {
	b := rs.bridge
	if b.Call.Route().Record != such {
		return
	}
	if b.Archive == nil {
		b.Log.Warn().Msg("not recorded: the process runs without recording, restart it")
		return
	}
	if err := rs.start(false); err != nil {
		b.Log.Warn().Err(err).Msg("not recorded")
	}
}

// follow starts, keeps or stops the recording, as the new route of the call wants it.
func (rs *Recordings) follow() {
	b := rs.bridge
	wanted := b.Call.Route().Record
	if wanted == config.WantedOff {
		b.Ladder.Unrecorded()
	}
	switch {
	case wanted != config.WantedAlways:
		rs.stop()
	case rs.current == nil || rs.current.Failed():
		rs.startIfWanted(wanted)
	}
}

// start starts a recording. The recorder gets the session's packets from now on, and all SIP of the
// call, including earlier SIP. A paused recording gets packets only once it is resumed.
func (rs *Recordings) start(paused bool) error {
	b := rs.bridge
	rs.stop() // ends a failed recording
	r, err := b.Archive.Record(recording.Call{
		ID: b.ID, Part: rs.parts + len(rs.all) + 1, Local: b.Media.Addr,
		Payloads: b.payloads(),
	})
	if err != nil {
		return refused(err.Error(), "look at the log: the process may be stopping")
	}
	if paused {
		r.Pause()
	}
	rs.current = r
	rs.all = append(slices.Clip(rs.all), r)
	b.Ladder.Attach(r)
	b.Media.tap(rs, r)
	// Every recording starts here, by the route or by a command. So announcements to the parties
	// belong here.
	rs.log().Int("part", len(rs.all)).Msg("recording started")
	b.Ladder.Decide("recording %d starts", len(rs.all))
	rs.due(time.Now())
	return nil
}

// begin continues the recording that an earlier process had started, in new files.
func (rs *Recordings) begin() {
	again := rs.again
	rs.again = snapshot.Recordings{}
	if !again.On || rs.bridge.Archive == nil {
		return
	}
	if err := rs.start(again.Paused); err != nil {
		rs.bridge.Log.Warn().Err(err).Msg("not recorded")
	}
}

// stop ends the recording, if any. Packets are neither lost nor delayed.
func (rs *Recordings) stop() {
	b := rs.bridge
	if rs.current == nil {
		return
	}
	ended := rs.current
	rs.current = nil
	b.Media.tap(rs)
	b.Ladder.Attach(nil)
	ended.Stop()
	rs.log().Int("part", len(rs.all)).Msg("recording stopped")
	b.Ladder.Decide("recording %d ends", len(rs.all))
}

// log begins a line about a recording. Where every call is recorded, the record says so, and these lines would be half
// of the log.
func (rs *Recordings) log() *zerolog.Event {
	b := rs.bridge
	if r := b.Call.Route(); r != nil && (r.Record == config.WantedAlways || r.Record == config.WantedTold) {
		return b.Log.Debug()
	}
	return b.Log.Info()
}

func (rs *Recordings) deadline() time.Time { return rs.beepAt }

// due plays a beep to both sides to tell them that the call is recorded, and schedules the next one
// (recording.beep). It plays none while the recording is paused.
func (rs *Recordings) due(now time.Time) {
	b := rs.bridge
	rs.beepAt = time.Time{}
	if b.Beep == 0 || rs.current == nil || rs.current.Failed() {
		return
	}
	rs.beepAt = now.Add(b.Beep)
	if !rs.current.Paused() {
		b.Sounds.beep()
	}
}

// payloads returns which payload types each side uses for which codec.
func (b *Bridge) payloads() (all [2]recording.Payloads) {
	a := &b.Agreement
	for side := range all {
		p := &all[side]
		var names []string
		for _, f := range a.Sends(media.Side(side)) {
			switch {
			case !f.Speech() || !sdp.Includes(a.Told[side], f.Codec):
			case f.Codec == sdp.PCMU:
				p.ULaw.Add(f.Number)
			case f.Codec == sdp.PCMA:
				p.ALaw.Add(f.Number)
			default:
				p.Other.Add(f.Number)
				if name, _, _ := strings.Cut(f.Mapping, "/"); !slices.Contains(names, name) {
					names = append(names, name)
				}
			}
		}
		slices.Sort(names)
		p.OtherName = strings.Join(names, ", ")
	}
	return all
}

// State returns one of RecordingOff, RecordingOn, RecordingPaused and RecordingFailed.
func (r *Recordings) State() string {
	switch {
	case r.current == nil:
		return RecordingOff
	case r.current.Failed():
		return RecordingFailed
	case r.current.Paused():
		return RecordingPaused
	default:
		return RecordingOn
	}
}

// record lists the recordings of earlier processes, and of this process so far, in the record.
func (rs *Recordings) record(r *record.Record) {
	r.Recordings = append(append([]record.Recording{}, rs.past...), filesOf(rs.all)...)
}

// filesOf returns one entry for the call's record for each file of the recordings.
func filesOf(all []*recording.Recorder) []record.Recording {
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

// settled implements Bridge.Settled.
func (rs *Recordings) settled() func(context.Context, *record.Record) {
	past, all := rs.past, rs.all
	if len(all) == 0 {
		return nil
	}
	return func(ctx context.Context, r *record.Record) {
		heard := r.Recordings[len(past)+len(filesOf(all)):] // by listeners
		r.Recordings = append(append(slices.Clip(past), settled(ctx, all)...), heard...)
	}
}

// settled waits until all files are written, until SettleWait is over, or until ctx ends. It
// returns an entry for each file; a file that is not finished has an error.
func settled(ctx context.Context, all []*recording.Recorder) []record.Recording {
	limit := time.NewTimer(SettleWait)
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
	files := filesOf(all)
	for i := range files {
		if files[i].EndedAt.IsZero() {
			files[i].Error = "not written yet when the call ended: the disk is slow, or the process was being stopped"
		}
	}
	return files
}
