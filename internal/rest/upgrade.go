package rest

import "net/http"

// WithoutUpgrade takes the connection from an unsolicited answer 101: net/http hands it over as a body, and from then
// on neither a context nor a timeout ends a read of it. Other answers stay as they are.
func WithoutUpgrade(res *http.Response) {
	if res.StatusCode == http.StatusSwitchingProtocols {
		_ = res.Body.Close() // ends the connection
		res.Body = http.NoBody
	}
}
