package openai

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// tolerance is how far the time of a webhook may differ from ours.
const tolerance = 5 * time.Minute

// maxWebhookID bounds the id of a webhook, in bytes.
const maxWebhookID = 256

// These are the errors of a signature.
var (
	errUnsigned = errors.New("there is no signature: looked for webhook-id, webhook-timestamp, webhook-signature")
	errForged   = errors.New("the signature is wrong")
)

// keyOf decodes a webhook's secret: whsec_ followed by the key in base64.
func keyOf(secret string) ([]byte, error) {
	key, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(secret, "whsec_"))
	if err != nil || len(key) == 0 {
		return nil, errors.New("the secret is not whsec_ and base64, as OpenAI shows it when a webhook is made")
	}
	return key, nil
}

// Sign returns the headers for a webhook with this id, time and body. An error means that the secret is wrong.
func Sign(secret, id string, at time.Time, body []byte) (http.Header, error) {
	key, err := keyOf(secret)
	if err != nil {
		return nil, err
	}
	stamp := strconv.FormatInt(at.Unix(), 10)
	return http.Header{
		"Webhook-Id": {id}, "Webhook-Timestamp": {stamp},
		"Webhook-Signature": {"v1," + base64.StdEncoding.EncodeToString(sum(key, id, stamp, body))},
	}, nil
}

func sum(key []byte, id, stamp string, body []byte) []byte {
	mac := hmac.New(sha256.New, key)
	_, _ = fmt.Fprintf(mac, "%s.%s.", id, stamp)
	mac.Write(body)
	return mac.Sum(nil)
}

// signed checks the signature of a webhook and its time. There may be several signatures while a secret is being
// replaced.
func signed(key []byte, h http.Header, body []byte, now time.Time) (id string, err error) {
	id, stamp := h.Get("Webhook-Id"), h.Get("Webhook-Timestamp")
	if id == "" || len(id) > maxWebhookID || stamp == "" || h.Get("Webhook-Signature") == "" {
		return "", errUnsigned
	}
	want := sum(key, id, stamp, body)
	right := false
	for one := range strings.FieldsSeq(h.Get("Webhook-Signature")) {
		text, isV1 := strings.CutPrefix(one, "v1,")
		got, err := base64.StdEncoding.DecodeString(text)
		right = right || isV1 && err == nil && hmac.Equal(got, want)
	}
	if !right {
		return "", errForged
	}
	seconds, err := strconv.ParseInt(stamp, 10, 64)
	if off := now.Sub(time.Unix(seconds, 0)).Abs(); err != nil || off > tolerance {
		return "", fmt.Errorf("webhook-timestamp %s is more than %v from the clock here", stamp, tolerance)
	}
	return id, nil
}
