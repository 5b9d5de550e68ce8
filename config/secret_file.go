package config

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
)

// maxSecret limits a secret file, in bytes.
const maxSecret = 8192

// ReadSecret reads a secret by the rules of the keys …_file. The file must be regular, must not be readable by
// everybody, and must contain only the secret, in one line. The error names the file and the remedy. It reveals no
// part of the contents.
func ReadSecret(file string) (Secret, error) {
	got, c := readSecret(file)
	return got, c.err(file)
}

// SecretFromEnv reads a secret by the rules of the keys …_env, from an environment variable that env looks up.
func SecretFromEnv(name string, env func(string) (string, bool)) (Secret, error) {
	got, c := secretFromEnv(name, env)
	return got, c.err(name)
}

// CheckAPI says what is wrong with the base URL of a platform's API, by the rules of the keys `api`.
func CheckAPI(text string) error {
	_, c := parseAPI(text)
	return c.err(fmt.Sprintf("%q", text))
}

// err returns the complaint about a value outside a file, or nil if there is none.
func (c complaint) err(about string) error {
	switch {
	case c.none():
		return nil
	case c.hide:
		return errors.New(c.problem + "; " + c.remedy)
	}
	return errors.New(about + " " + c.problem + "; " + strings.ReplaceAll(c.remedy, "FILE", about))
}

// secret reads either key_file or key_env, and reports if both or neither are present.
func (s section) secret(key string) Secret {
	file, env := key+"_file", key+"_env"
	switch {
	case s.filled(file) && s.filled(env):
		s.fields[env].fail("stands beside "+file, "keep one of the two")
	case s.filled(file):
		return s.secretFile(file)
	case s.filled(env):
		return s.secretText(env, func(name string) (Secret, complaint) { return secretFromEnv(name, s.l.env) })
	case !s.broken:
		s.l.fail(s.node.Line, join(s.path, file), "is missing", "write "+file+" or "+env)
	}
	return ""
}

func (s section) secretFile(key string) Secret { return s.secretText(key, readSecret) }

func (s section) secretText(key string, read func(string) (Secret, complaint)) Secret {
	if s.l.withoutSecrets {
		defer func(before int) { s.l.errs = s.l.errs[:before] }(len(s.l.errs))
	}
	v, ok := s.get(key)
	if !ok {
		return ""
	}
	got, c := read(v.text)
	if !c.none() {
		c.remedy = strings.ReplaceAll(c.remedy, "FILE", v.raw) // raw never shows the contents of a variable
		v.complain(c)
	}
	return got
}

// parseSecret refuses a secret that can't be sent in an HTTP header.
func parseSecret(text string) (Secret, complaint) {
	text = strings.TrimSpace(text)
	if len(text) > 1 && text[0] == text[len(text)-1] && (text[0] == '"' || text[0] == '\'') {
		return "", complaint{
			problem: "the secret it names stands in quotes, which would be sent with it",
			remedy:  "write the token alone, without quotes", hide: true,
		}
	}
	if strings.ContainsFunc(text, func(r rune) bool { return r <= ' ' || r > '~' }) {
		return "", complaint{
			problem: "the secret it names holds a space, a line break or another character that no token has",
			remedy:  "write the token alone, in one line", hide: true,
		}
	}
	return Secret(text), complaint{}
}

func secretFromEnv(name string, env func(string) (string, bool)) (Secret, complaint) {
	if !envName.MatchString(name) { // the text may be the secret itself
		return "", complaint{
			problem: "is not the name of an environment variable",
			remedy:  "write the variable's name without $, not what it contains", hide: true,
		}
	}
	text, set := env(name)
	if set && strings.TrimSpace(text) != "" {
		return parseSecret(text)
	}
	if name != strings.ToUpper(name) {
		return "", complaint{
			problem: "the variable it names is not set in the environment, or empty", hide: true,
			remedy: "set it before the start; what stands here must be the variable's name, not what it contains",
		}
	}
	return "", refuse("is not set in the environment, or empty", "set it before the start")
}

// inDirectory reports whether a text is certain to be the path of a file, because its first directory exists. Any
// other text may be the secret itself.
func inDirectory(text string) bool {
	end := strings.IndexByte(text[min(1, len(text)):], '/') + 1
	_, err := os.Stat(text[:end])
	return err == nil
}

func readSecret(path string) (Secret, complaint) {
	missing := func(err error) (Secret, complaint) {
		if !inDirectory(path) {
			return "", complaint{
				problem: "the file it names cannot be read: " + reason(err), hide: true,
				remedy: "write the name of a file that holds the secret; what stands here is not shown, as it may be the secret itself",
			}
		}
		return "", refuse("cannot be read: "+reason(err),
			"write the secret into that file, owned by the user of the service, and chmod 600 it")
	}
	st, err := os.Stat(path)
	switch {
	case err != nil:
		return missing(err)
	case !st.Mode().IsRegular():
		return "", refuse("is not a regular file", "name a file that holds the secret and nothing else")
	case st.Mode().Perm()&0o007 != 0:
		return "", refuse("can be read by everybody", "chmod 600 FILE; give a mounted secret mode 0400")
	}
	f, err := os.Open(path)
	if err != nil {
		return missing(err)
	}
	defer func() { _ = f.Close() }() // it was only used for reading
	data, err := io.ReadAll(io.LimitReader(f, maxSecret+1))
	switch {
	case err != nil:
		return missing(err)
	case len(data) > maxSecret:
		return "", refuse("is too large for a secret", "name a file that holds the secret and nothing else")
	case strings.TrimSpace(string(data)) == "":
		return "", refuse("is empty", "write the secret into it")
	}
	return parseSecret(string(data))
}
