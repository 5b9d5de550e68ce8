// Package voice says when somebody speaks.
package voice
