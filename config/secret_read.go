package config

import (
	"errors"
	"fmt"
	"strings"
)

// ReadSecret reads a secret as the keys …_file do: the file must be a regular one, not readable by everybody, and hold
// the secret alone, in one line. The error names the file and what to do, and nothing of what is in it.
func ReadSecret(file string) (Secret, error) {
	text, c := readSecret(file)
	if !c.none() {
		return "", fmt.Errorf("%s %s; %s", file, c.problem, strings.ReplaceAll(c.remedy, "FILE", file))
	}
	return plainSecret(file, text)
}

// SecretFromEnv reads a secret as the keys …_env do: from a variable of the environment, which env looks up.
func SecretFromEnv(name string, env func(string) (string, bool)) (Secret, error) {
	if !envName.MatchString(name) {
		// What stands here may be the secret itself.
		return "", errors.New("is not the name of an environment variable; write the variable's name, not what it contains")
	}
	text, set := env(name)
	if !set || strings.TrimSpace(text) == "" {
		return "", fmt.Errorf("%s is not set in the environment, or empty; set it", name)
	}
	return plainSecret(name, text)
}

// plainSecret refuses what cannot stand in an HTTP header.
func plainSecret(where, text string) (Secret, error) {
	text = strings.TrimSpace(text)
	if strings.ContainsFunc(text, func(r rune) bool { return r <= ' ' || r > '~' }) {
		return "", fmt.Errorf("the secret in %s holds a space, a line break or another character that no token has; write the token alone, in one line", where)
	}
	return Secret(text), nil
}

// CheckAPI says what is wrong with the base URL of a platform's API, by the rules of the keys `api`.
func CheckAPI(text string) error {
	if _, c := parseAPI(text); !c.none() {
		if c.hide {
			return fmt.Errorf("%s; %s", c.problem, c.remedy)
		}
		return fmt.Errorf("%q %s; %s", text, c.problem, c.remedy)
	}
	return nil
}
