// SPDX-License-Identifier: Apache-2.0

package connect

import (
	"maps"
	"regexp"
	"strings"

	"freshet/config"
)

// Mask stands for a secret in everything that leaves the process.
const Mask = "****"

// Secrets show by their shape where no declaration names them: in URLs, DSNs and messages of drivers.
var (
	userinfo   = regexp.MustCompile(`(://[^:/?#\s@]*:)(\S*)@`)
	wholeURL   = regexp.MustCompile(`(?s)(://[^:/?#\s@]*:)(.*)@`)
	reference  = regexp.MustCompile(`^(\$\{[^{}]*\})+$`)
	port       = regexp.MustCompile(`^[0-9]{1,5}([/?#]|$)`)
	assignment = regexp.MustCompile(`(?i)\b((?:ssl)?pass(?:word|wd|phrase)|secret)(\s*=\s*|%3D)('(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*"|[^\s&;,'"]+)`)
	secretName = regexp.MustCompile(`(?i)passw(or)?d|passphrase|secret|sasl\.jaas\.config|\.api\.?key|credentials$|user\.info$|auth\.token$|keystore\.key$`)
)

// RedactText masks passwords in URLs and key=value pairs of a message. What stands between a URL's user and its last @
// counts as password: people forget to escape the characters that end one.
func RedactText(s string) string { return redact(s, userinfo) }

// RedactValue is RedactText for a text that is one value, so that a password with blanks in it is masked, too.
func RedactValue(s string) string { return redact(s, wholeURL) }

func redact(s string, user *regexp.Regexp) string {
	if strings.Contains(s, "://") {
		s = user.ReplaceAllStringFunc(s, func(found string) string {
			m := user.FindStringSubmatch(found)
			if port.MatchString(m[2]) {
				return found // ://host:port/ and an @ further on
			}
			return m[1] + Mask + "@"
		})
	}
	if strings.ContainsRune(s, '=') || strings.Contains(s, "%3") {
		s = assignment.ReplaceAllString(s, "${1}${2}"+Mask)
	}
	return s
}

// Redact returns cfg with every secret masked: properties of type PASSWORD, unknown ones whose name says that they are
// secret, and passwords inside URLs. References such as ${file:...} stay, as they hold no secret.
func Redact(def *config.Def, cfg map[string]string) map[string]string {
	out := make(map[string]string, len(cfg))
	for name, value := range cfg {
		switch {
		case value == "" || reference.MatchString(value):
			out[name] = value
		case isSecret(def, name):
			out[name] = Mask
		default:
			out[name] = RedactValue(value)
		}
	}
	return out
}

func isSecret(def *config.Def, name string) bool {
	if def != nil {
		if k := def.Find(name); k != nil {
			return k.Type == config.Password
		}
	}
	return secretName.MatchString(name)
}

// Unmask returns cfg in which values that are the mask of a stored one are the stored one again, so that a
// configuration read by REST can be changed and put back.
func Unmask(def *config.Def, cfg, stored map[string]string) map[string]string {
	out := maps.Clone(cfg)
	shown := Redact(def, stored)
	for name, value := range cfg {
		if strings.Contains(value, Mask) && value == shown[name] {
			out[name] = stored[name]
		}
	}
	return out
}
