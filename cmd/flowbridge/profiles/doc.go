// Package profiles provides a target configuration for each platform, and knows its placeholders for values of an
// account.
package profiles
