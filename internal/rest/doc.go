// Package rest is a small client for the JSON APIs that accounts at platforms are set up with: a base URL, a bearer token,
// one request, one answer. It knows no platform.
//
// What it is careful about: an answer is bounded after decompression and is JSON or an error; redirects are not followed,
// because the token would go along; whatever goes wrong is said in words, with the API's own words as they came and
// with what to do; the token, and the other secrets of a request, are in no error, even where the API repeats them.
//
// Ownership: a Client does not change after New and may be used by many goroutines.
package rest
