// Package rest is a small client for the JSON APIs of platforms: a base URL, a bearer token, one request, one answer.
// It knows no particular platform.
//
// An answer is bounded after decompression, and is JSON or an error. Redirects are not followed, because the token
// would go along. Errors contain the API's own words and a remedy. They never contain the token or other secrets of a
// request, even if the API's answer repeats them.
//
// Transport is for many small requests: it wakes fewer goroutines than net/http does.
//
// Ownership: a Client does not change after New and may be used by many goroutines. So may a Transport.
package rest
