package config

import (
	"io"
	"os"
	"strings"
)

// maxSecret bounds a secret file, in bytes.
const maxSecret = 8192

// secret reads exactly one of key_file and key_env, and reports where there is none.
func (s section) secret(key string) Secret {
	file, env := key+"_file", key+"_env"
	switch {
	case s.filled(file) && s.filled(env):
		s.fields[env].fail("stands beside "+file, "keep one of the two")
	case s.filled(file):
		return s.secretFile(file)
	case s.filled(env):
		return s.secretEnv(env)
	case !s.broken:
		s.l.fail(s.node.Line, join(s.path, file), "is missing", "write "+file+" or "+env)
	}
	return ""
}

func (s section) secretEnv(key string) Secret {
	v, ok := s.get(key)
	if !ok {
		return ""
	}
	if !envName.MatchString(v.text) {
		// What stands here may be the secret itself.
		v.fail("is not the name of an environment variable", "write the variable's name, not what it contains")
		return ""
	}
	text, set := v.l.env(v.text)
	if !set || strings.TrimSpace(text) == "" {
		v.complain(refuse("is not set in the environment, or empty", "set it before the start"))
		return ""
	}
	return v.checkSecret(text)
}

func (s section) secretFile(key string) Secret {
	v, ok := s.get(key)
	if !ok {
		return ""
	}
	text, c := readSecret(v.text)
	if !c.none() {
		c.remedy = strings.ReplaceAll(c.remedy, "FILE", v.raw)
		v.complain(c)
		return ""
	}
	return v.checkSecret(text)
}

// checkSecret refuses what cannot stand in an HTTP header.
func (s scalar) checkSecret(text string) Secret {
	text = strings.TrimSpace(text)
	if strings.ContainsFunc(text, func(r rune) bool { return r <= ' ' || r > '~' }) {
		s.fail("the secret it names holds a space, a line break or another character that no token has", "write the token alone, in one line")
		return ""
	}
	return Secret(text)
}

func readSecret(path string) (string, complaint) {
	missing := refuse("cannot be read", "write the secret into that file, owned by the user of the service, and chmod 600 it")
	st, err := os.Stat(path)
	if err != nil {
		missing.problem += ": " + reason(err)
		return "", missing
	}
	if !st.Mode().IsRegular() {
		return "", refuse("is not a regular file", "name a file that holds the secret and nothing else")
	}
	if st.Mode().Perm()&0o007 != 0 {
		return "", refuse("can be read by everybody", "chmod 600 FILE; give a mounted secret mode 0400, or name an environment variable instead")
	}
	f, err := os.Open(path)
	if err != nil {
		missing.problem += ": " + reason(err)
		return "", missing
	}
	defer func() { _ = f.Close() }() // it was only read
	data, err := io.ReadAll(io.LimitReader(f, maxSecret+1))
	if err != nil {
		missing.problem += ": " + reason(err)
		return "", missing
	}
	if len(data) > maxSecret {
		return "", refuse("is too large for a secret", "name a file that holds the secret and nothing else")
	}
	if strings.TrimSpace(string(data)) == "" {
		return "", refuse("is empty", "write the secret into it")
	}
	return string(data), complaint{}
}
