package calltest

import (
	"reflect"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"flowbridge/b2bua"
	"flowbridge/b2bua/leg"
	"flowbridge/b2bua/snapshot"
	"flowbridge/media"
	"flowbridge/store/record"
)

// fieldsOf calls do for each leaf field of a state, with the field's path.
func fieldsOf(v reflect.Value, path string, do func(path string, v reflect.Value)) {
	ours := func(t reflect.Type) bool { return t.PkgPath() == reflect.TypeFor[snapshot.Call]().PkgPath() }
	switch kind := v.Kind(); {
	case kind == reflect.Struct && ours(v.Type()):
		for f, of := range v.Fields() {
			fieldsOf(of, strings.TrimPrefix(path+"."+f.Name, "."), do)
		}
	case kind == reflect.Pointer && ours(v.Type().Elem()) && !v.IsNil():
		fieldsOf(v.Elem(), path, do)
	case (kind == reflect.Array || kind == reflect.Slice) && v.Len() > 0 &&
		(path == "Legs" || path == "Bridge.Sounds.Voices"):
		for i := range v.Len() {
			fieldsOf(v.Index(i), path, do)
		}
	default:
		do(path, v)
	}
}

// fill gives each field of a state a different value. It skips fields that can be restored only from a value that makes
// sense.
func fill(t *testing.T, k *snapshot.Call, isTrue map[string]any) {
	t.Helper()
	n := 0
	fieldsOf(reflect.ValueOf(k).Elem(), "", func(path string, v reflect.Value) {
		n++
		value, given := isTrue[path]
		section, _, _ := strings.Cut(path, ".")
		if _, whole := isTrue[section]; given || whole {
			if value != nil {
				v.Set(reflect.ValueOf(value))
			}
			return
		}
		switch v.Kind() {
		case reflect.Bool:
			v.SetBool(true)
		case reflect.String:
			v.SetString(path)
		case reflect.Int, reflect.Int64:
			v.SetInt(int64(n))
		case reflect.Uint32, reflect.Uint64:
			v.SetUint(uint64(n))
		default:
			t.Fatalf("%s: give it a value", path)
		}
	})
}

// TestStateIsRestored checks field by field that the next process restores everything that a process saves of a call.
// It fails for a new field until that field is saved, restored and covered here. For a field that needs a real value,
// this test provides one.
func TestStateIsRestored(t *testing.T) {
	elsewhere := map[string]string{ // fields that other tests cover, with the name of the test
		"Ended": "TestRecordedCallIsOver", "Refused": "TestRingingCallIsTold",
		"Noted.At": "TestClockSetBack", "Noted.Uptime": "TestClockSetBack", "Noted.Boot": "TestClockSetBack",
		"Ladder": "TestLadderOfACallThatGoesOn", "Attempts.Beside": "TestNotedAttemptsAreOver",
		"Customer.Telling": "TestStatementGoesOn", "Legs.State": "TestUASEveryStateAndInput",
		"Legs.Crypto": "TestCallsLiveOn", "Legs.Flow": "TestStreamCallerWhoseProcessIsKilled",
	}
	covered := map[string]bool{}
	compare := func(saved *snapshot.Call, text []byte) {
		again, err := snapshot.Decode(text)
		must(t, err)
		want := map[string][]any{}
		fieldsOf(reflect.ValueOf(saved).Elem(), "", func(path string, v reflect.Value) {
			want[path] = append(want[path], v.Interface())
		})
		fieldsOf(reflect.ValueOf(again).Elem(), "", func(path string, v reflect.Value) {
			var was any
			if of := want[path]; len(of) > 0 {
				was, want[path] = of[0], of[1:]
			}
			if elsewhere[path] == "" && !reflect.DeepEqual(was, v.Interface()) {
				t.Errorf("%s: restored as %+v; saved as %+v", path, v.Interface(), was)
			}
			covered[path] = covered[path] || !v.IsZero()
		})
		for path, of := range want {
			if len(of) > 0 && elsewhere[path] == "" {
				t.Errorf("%s: saved as %+v, and not restored", path, of)
			}
		}
	}
	later := leg.InstantOf(time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC))
	isTrue := func(k *snapshot.Call) map[string]any { // values for fields that are restored only if the named thing exists
		return map[string]any{
			"ID": nil, "Trunk": nil, "Source": nil, "Ended": nil, "Refused": nil, "Noted": nil, "Ladder": nil, "Invite": nil,
			"Route": nil, "Legs": nil, "Bridge.Agreement": nil, "Bridge.Session": nil, "Bridge.Media.Addr": nil,
			"Times.Started": nil, "Times.Answered": nil, "Times.Until": later, "Times.SetupUntil": later + 1,
			"Attempts.Beside": nil, "Attempts.Current.Dest": nil, "Attempts.Current.MediaName": k.Bridge.Media.Addr[1],
			"Attempts.Current.Dropped": []string{"x-dropped"}, "Transfers.Last": &record.Transfer{To: "+1", Code: 200},
			"Bridge.Media.Listening":    [2]bool{true, true},
			"Bridge.Media.Changes":      []snapshot.Change{{At: later, What: record.AfterRestart}},
			"Bridge.Sounds.Voices.Name": "us", "Bridge.Sounds.Voices.Once": false, "Customer.Telling": nil,
		}
	}
	// restore freezes a call, applies change to its state, and lets another server restore the call.
	restore := func(w *world, change func(k *snapshot.Call)) (saved *snapshot.Call) {
		synctest.Wait()
		h, err := w.handOver()
		must(t, err)
		changeState(&h.calls[0], func(k *snapshot.Call) {
			k.Bridge.Sounds.Voices = [2]*snapshot.Voice{{}, {}}
			change(k)
			saved = k
		})
		w.beginWith(nil, h)
		return saved
	}
	inOpenWorld := func(yaml string, test func(w *world)) {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t, yaml, func(o *b2bua.Options) { o.Log = testLog(t) })
			defer w.close()
			defer func() { // so that the old server can end
				w.life.dead.Store(true)
				w.server.Thaw()
			}()
			test(w)
		})
	}
	inOpenWorld(talkYAML("", ""), func(w *world) { // a call with an agent that is being transferred
		w.talk(nil, nil)
		saved := restore(w, func(k *snapshot.Call) {
			k.Replacement = &snapshot.Replacement{Lost: &snapshot.Loss{}, Waiting: &snapshot.Waiting{
				Description: k.Bridge.Agreement.Described[0], SentTo: k.Bridge.Agreement.SentTo[media.SideA],
			}}
			as := isTrue(k)
			as["Customer"], as["Replacement.Waiting.Description"], as["Replacement.Waiting.SentTo"] = nil, nil, nil
			as["Attempts.Current.Agent"], as["Attempts.Current.Reason"] = k.Attempts.Current.Target, record.ReasonTransfer
			as["Attempts.Current.By"] = nil // the record has the connected attempt
			if fill(t, k, as); k.Legs[0].Role == snapshot.RoleBridge {
				t.Fatal("the caller's leg is not the first")
			}
			k.Legs[1].Target = k.Attempts.Current.Target
		})
		w.sink.mu.Lock()
		defer w.sink.mu.Unlock()
		compare(saved, w.sink.states[saved.ID].State)
	})
	inOpenWorld(originateConfig, func(w *world) { // a placed call whose first party still rings
		_, invite := w.originates(origination())
		w.carrier.reply(invite, 180, "Ringing", "customer", "")
		saved := restore(w, func(k *snapshot.Call) {
			as := isTrue(k)
			as["Customer.Agents"], as["Customer.Reserved"] = []string{"agent", "spare"}, "spare"
			as["Attempts.Current.Target"], as["Attempts.Current.Agent"], as["Attempts.Current.Reason"] = nil, nil, nil
			as["Attempts.Current.MediaName"], as["Bridge.Sounds.Voices.Once"] = k.Bridge.Media.Addr[0], true
			as["Replacement"], as["Bridge.Relays.Watched"], as["Bridge.Sounds.OnHold"] = nil, nil, nil // only with an agent
			fill(t, k, as)
		})
		_, err := w.server.HandOver(func(s record.Saved, _ *media.Sockets) error { compare(saved, s.State); return nil })
		must(t, err)
	})
	all := &snapshot.Call{
		Legs: []snapshot.Leg{{}}, Attempts: snapshot.Attempts{Current: &snapshot.Attempt{}},
		Replacement: &snapshot.Replacement{Lost: &snapshot.Loss{}, Waiting: &snapshot.Waiting{}},
	}
	all.Bridge.Sounds.Voices = [2]*snapshot.Voice{{}, {}}
	fieldsOf(reflect.ValueOf(all).Elem(), "", func(path string, v reflect.Value) {
		if !covered[path] && elsewhere[path] == "" {
			t.Errorf("%s is not covered", path)
		}
	})
}
