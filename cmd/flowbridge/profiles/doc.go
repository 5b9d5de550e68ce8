// Package profiles has a configuration of a target for each platform, and what in it stands for a value of an account.
package profiles
