package operate

import (
	"cmp"
	"context"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"flowbridge/cmd/flowbridge/cli"
	"flowbridge/config"
	"flowbridge/store/record"
)

// Archive asks a server for files of finished calls.
type Archive struct{ at *access }

// ArchiveFlags adds --api and --token-file. Without --api a server is found by its configuration, as other commands do.
func ArchiveFlags(c *cobra.Command) *Archive {
	at := &access{flags: c.Flags(), flag: "--api"}
	c.Flags().StringVar(&at.url, "api", "", "admin API of the server that has calls, like http://127.0.0.1:8080")
	c.Flags().StringVar(&at.tokenFile, "token-file", "", "file with the bearer token for --api")
	return &Archive{at}
}

// capsuleWait is how long the record and the ladder of a call may take after its end.
const capsuleWait = 5 * time.Second

// Capsule returns the capsule of a call that has just ended, by its Call-ID.
func (a *Archive) Capsule(ctx context.Context, sipCallID string) ([]byte, error) {
	api, err := a.at.open(config.RightsRead)
	for end := time.Now().Add(capsuleWait); err == nil; time.Sleep(capsuleWait / 20) {
		var found list[record.Record]
		err = api.do(ctx, http.MethodGet, "/api/cdrs?id="+url.QueryEscape(sipCallID), &found)
		if err == nil && len(found.Items) > 0 {
			status, body, err := api.ask(ctx, http.MethodGet, idPath(found.Items[0].ID)+"/capsule")
			if status == http.StatusOK || err != nil {
				return body, err
			}
		}
		if err == nil && time.Now().After(end) {
			err = fmt.Errorf("%s has no capsule of the call with Call-ID %s", api.shown, sipCallID)
		}
	}
	return nil, err
}

// Recording returns the WAV files of a finished call in the order of time, by the call's id. File is the configuration
// that names the server. Plain decrypts a file, if its name says that it is encrypted.
func (a *Archive) Recording(
	ctx context.Context, file, id string, plain func(name string, file []byte) ([]byte, error),
) (parts [][]byte, err error) {
	a.at.file = file
	api, err := a.at.open(config.RightsRead)
	if err != nil {
		return nil, err
	}
	var found list[record.Recording]
	if err = api.do(ctx, http.MethodGet, idPath(id)+"/recordings", &found); err != nil {
		return nil, err
	}
	slices.SortFunc(found.Items, func(a, b record.Recording) int { return a.StartedAt.Compare(b.StartedAt.Time) })
	for i := range found.Items {
		if r := &found.Items[i]; r.Format == "wav" && r.File != "" && !r.EndedAt.IsZero() {
			wav := url.URL{Path: "/api/recordings/" + r.File}
			status, body, err := api.ask(ctx, http.MethodGet, wav.EscapedPath())
			if err != nil || status != http.StatusOK {
				return nil, cmp.Or(err, fmt.Errorf("%s answers %d for the recording %q", api.shown, status, r.File))
			}
			if body, err = plain(r.File, body); err != nil {
				return nil, fmt.Errorf("%s: %w", r.File, err)
			}
			parts = append(parts, body)
		}
	}
	if parts == nil {
		return nil, cli.Usage("%s has no WAV of call %s: is it over? Its route needs record, and recording.format wav", api.shown, id)
	}
	return parts, nil
}
