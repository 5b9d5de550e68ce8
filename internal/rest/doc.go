// Package rest is a small client for the JSON APIs of platforms: a base URL, a bearer token, one request, one answer.
// It knows no platform.
//
// An answer is bounded after decompression, and is JSON or an error. Redirects are not followed, because the token
// would go along. Errors have the API's own words and a remedy. The token and the other secrets of a request are in no
// error, even if the API repeats them.
//
// Transport is for requests that are many and small: it wakes fewer goroutines than net/http does.
//
// Ownership: a Client does not change after New and may be used by many goroutines. So may a Transport.
package rest
