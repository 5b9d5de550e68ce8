package recording

import (
	"errors"
	"time"

	"flowbridge/media"
)

// output is one file of a recording that is being written. The writer owns it.
type output struct {
	index  int    // index in Recorder.files
	name   string // final name
	sink   *sink
	format format
	err    error // why writing has stopped
	lost   bool  // the file was removed
}

type format interface {
	packet(p tapped) error
	message(m message) error
	tick(now time.Duration) error  // called as time passes
	finish(at time.Duration) error // the recording ended at that time
	close() error                  // called after an error, too
}

func (a *Archive) open(r *Recorder) {
	r.outputs = []*output{}
	for i, f := range r.Files() {
		if !f.EndedAt.IsZero() {
			continue // the file was refused
		}
		o, err := a.openOutput(r, i, f)
		if err != nil {
			a.refuse(r, i, reasonOf(err))
			continue
		}
		r.outputs = append(r.outputs, o)
	}
}

func (a *Archive) openOutput(r *Recorder, i int, f File) (*output, error) {
	m, err := a.create(f.Name + partSuffix)
	if err != nil {
		return nil, err
	}
	if a.cfg.Recipients != nil {
		sealed, err := seal(m, a.cfg.Recipients)
		if err != nil {
			return nil, a.discard(f.Name, m, err)
		}
		m = sealed
	}
	o := &output{index: i, name: f.Name, sink: &sink{medium: m, limit: a.cfg.MaxSize}}
	if f.Format == FormatWAV {
		o.sink.limit = min(o.sink.limit, wavLimit)
		o.format, err = newWAV(o.sink, func(s media.Side) *Payloads { return r.payloads[s].Load() })
	} else {
		o.format, err = newPcapng(o.sink, r.began, r.call.Local)
	}
	if err != nil {
		return nil, a.discard(f.Name, m, err)
	}
	return o, nil
}

// discard removes a file that could not be started, and returns the reason.
func (a *Archive) discard(name string, m medium, reason error) error {
	return errors.Join(reason, m.Close(), a.dir.files().Remove(name+partSuffix))
}

// each calls do for every output that has no error.
func (r *Recorder) each(do func(format) error) {
	for _, o := range r.outputs {
		if o.err == nil {
			o.err = do(o.format)
		}
	}
}

// deliver is like each, for a packet, but needs no closure.
func (r *Recorder) deliver(p tapped) {
	for _, o := range r.outputs {
		if o.err == nil {
			o.err = o.format.packet(p)
		}
	}
}

// closeFailed closes the outputs that have failed. The recording continues without them.
func (a *Archive) closeFailed(r *Recorder) {
	kept := r.outputs[:0]
	for _, o := range r.outputs {
		if o.err == nil {
			kept = append(kept, o)
			continue
		}
		if err := a.closeOutput(o); gone(err) {
			o.lost = true
		} // otherwise the first reason stays
		a.fail(r, o)
	}
	clear(r.outputs[len(kept):])
	r.outputs = kept
	if len(kept) == 0 {
		r.over.Store(true)
	}
}

// refuse records why a file was not started.
func (a *Archive) refuse(r *Recorder, i int, reason string) {
	f := r.Files()[i]
	a.cfg.Log.Warn().Str("call", r.call.ID).Str("file", f.Name).Str("reason", reason).
		Str("remedy", "make room on the disk, or give recording.path to the user that runs the service: the next recording tries again").Msg("recording not started")
	r.change(i, func(f *File) { f.Name, f.EndedAt, f.Err = "", time.Now(), reason })
}

// fail records why a file ended early. The file keeps its readable part.
func (a *Archive) fail(r *Recorder, o *output) {
	a.cfg.Log.Warn().Str("call", r.call.ID).Str("file", o.name).Str("reason", reasonOf(o.err)).Msg("recording ended early")
	r.change(o.index, func(f *File) { f.Err = reasonOf(o.err) })
	a.settle(r, o)
}

// closeOutput completes a file and gives it its final name.
func (a *Archive) closeOutput(o *output) error {
	return errors.Join(o.format.close(), o.sink.Close(), a.dir.files().Rename(o.name+partSuffix, o.name))
}

// settle records the final state of a file.
func (a *Archive) settle(r *Recorder, o *output) {
	r.change(o.index, func(f *File) {
		f.EndedAt, f.Dropped = time.Now(), r.dropped.Load()
		f.Bytes = o.sink.bytes()
		if o.lost {
			f.Name, f.Bytes = "", 0
		}
	})
}

// serve writes what a recorder has queued, and reports whether the recording is over.
func (a *Archive) serve(r *Recorder) (over bool) {
	if r.outputs == nil {
		a.open(r)
	}
	now := time.Since(r.began)
	messages, stopped, end := r.takeMessages()
	r.drain(messages)
	if stopped {
		r.each(func(f format) error { return f.finish(end) })
	} else {
		r.each(func(f format) error { return f.tick(now) })
	}
	a.closeFailed(r)
	for _, o := range r.outputs {
		if stopped {
			a.finish(r, o)
			continue
		}
		r.change(o.index, func(f *File) { f.Bytes = o.sink.bytes() })
	}
	return stopped
}

// drain gives the outputs packets and messages in chronological order.
func (r *Recorder) drain(messages []message) {
	for {
		p, ok := r.ring.get()
		switch {
		case ok && (len(messages) == 0 || p.at < messages[0].at):
			r.deliver(p)
			r.ring.drop()
		case len(messages) > 0:
			m := messages[0]
			messages = messages[1:]
			r.each(func(f format) error { return f.message(m) })
		default:
			return
		}
	}
}

func (a *Archive) finish(r *Recorder, o *output) {
	if o.err = a.closeOutput(o); o.err != nil {
		o.lost = gone(o.err)
		a.fail(r, o)
		return
	}
	a.settle(r, o)
}
