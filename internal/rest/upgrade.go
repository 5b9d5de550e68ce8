package rest

import "net/http"

// WithoutUpgrade takes the connection away from an answer 101, which nobody has asked for: net/http hands it over as a
// body, and from then on neither a context nor a timeout ends a read of it. Any other answer is left as it is.
func WithoutUpgrade(res *http.Response) {
	if res.StatusCode == http.StatusSwitchingProtocols {
		_ = res.Body.Close() // ends the connection
		res.Body = http.NoBody
	}
}
