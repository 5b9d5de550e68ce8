package bridge

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"flowbridge/media/recording"
)

// TestSlowRecording: a call's record is written in the end even if a recording's file is
// never finished.
func TestSlowRecording(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, err := recording.Open(recording.Config{Dir: t.TempDir(), Formats: []string{"wav"}, Keep: time.Hour, MaxSize: 1 << 20})
		if err != nil {
			t.Fatal(err)
		}
		r, err := a.Record(recording.Call{ID: "one", Part: 1})
		if err != nil {
			t.Fatal(err)
		}
		begin := time.Now()
		files := settled(t.Context(), []*recording.Recorder{r, r}) // nobody stops the recorder, so its file is not finished
		if took := time.Since(begin); took != SettleWait || len(files) != 2 || !strings.Contains(files[1].Error, "slow") {
			t.Errorf("%+v after %v", files, took)
		}
		if err := a.Close(t.Context()); err != nil {
			t.Error(err)
		}
		if files := settled(t.Context(), []*recording.Recorder{r}); files[0].Error != "" || files[0].EndedAt.IsZero() {
			t.Errorf("%+v", files)
		}
	})
}
