package manifest

import (
	"regexp"
	"time"

	"github.com/dlclark/regexp2"
	"github.com/santhosh-tekuri/jsonschema/v6"
)

// patternTime bounds the time of one match by an engine that can go back. A
// value that needs longer does not match.
const patternTime = 2 * time.Second

// pattern compiles a pattern of a schema. Patterns are those of Go's regexp
// package, which takes time in proportion to the text; what that does not have,
// as the look-ahead in many of osbuild's schemas, is left to an engine that does.
func pattern(text string) (jsonschema.Regexp, error) {
	plain, err := regexp.Compile(text)
	if err == nil {
		return plain, nil
	}
	full, fullErr := regexp2.Compile(text, regexp2.ECMAScript)
	if fullErr != nil {
		if full, fullErr = regexp2.Compile(text, regexp2.None); fullErr != nil {
			return nil, err
		}
	}
	full.MatchTimeout = patternTime
	return lookPattern{full}, nil
}

type lookPattern struct{ *regexp2.Regexp }

// MatchString reports whether the pattern is found in s.
func (p lookPattern) MatchString(s string) bool {
	ok, err := p.Regexp.MatchString(s)
	return err == nil && ok
}
