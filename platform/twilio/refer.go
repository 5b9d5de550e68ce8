package twilio

import (
	"context"
	"net/http"
	"net/url"

	"flowbridge/internal/httpd"
)

const paramTarget = "target"

// ReferURL returns the URL that Twilio requests when a target sends a REFER. base is the URL of NewReferHandler's
// handler. call and attempt are as in ActionURL, if the call is followed.
func ReferURL(base, call string, attempt int, target string) string {
	return ActionURL(base, call, attempt) + "&" + paramTarget + "=" + url.QueryEscape(target)
}

// NewReferHandler returns the handler of referUrl (twilio.com/docs, "Inbound SIP REFER to Twilio"). It calls refer to
// find out where the caller goes. refer gets the call and attempt in ReferURL, the target, and the Refer-To in Twilio's
// form. If refer fails, the error is logged. The call is already answered, so the caller then gets the same fallback as
// from NewEndedHandler.
func NewReferHandler(o Options, refer func(e Ended, target, to string) (Destination, error)) (http.Handler, error) {
	h, err := newAnswered(o)
	if err != nil {
		return nil, err
	}
	h.answer = func(_ context.Context, params url.Values) ([]byte, *httpd.Refusal) {
		e, to := parseEnded(params), params.Get("ReferTransferTarget")
		dest, err := refer(e, params.Get(paramTarget), to)
		body := h.fallback
		if err == nil {
			body, err = h.dial(dest)
		}
		h.opts.Log.WithLevel(levelOf(err)).Err(err).Str("call", e.Call).Str("call_sid", e.SID).Str("refer_to", clipped(to)).
			Msg("twilio transfer answered")
		return body, nil
	}
	return h, nil
}
