package frontend

import "regexp"

// registryRequest is how a builder says that a registry could not be asked
// anything, after what it wanted: the address of the request, the call, and
// the reason. Some of it says the same twice.
var registryRequest = regexp.MustCompile(`(?:failed to solve: |failed to do request: )*\w+ "https?://([^/"\s]+)/v2/[^"\s]*": (?:dial \w+(?: [^ ]+)?: |connect: |read \w+ [^ ]+: )*([^\n]+)`)

// plainError is an error in other words.
type plainError struct {
	text string
	err  error
}

// Error gives the words.
func (e *plainError) Error() string { return e.text }

// Unwrap returns the error that it was.
func (e *plainError) Unwrap() error { return e.err }

// Explain returns an error in one clear sentence where a builder's own words
// about a registry that it cannot reach are in it, and else as it is.
func Explain(err error) error {
	if err == nil || !registryRequest.MatchString(err.Error()) {
		return err
	}
	return &plainError{registryRequest.ReplaceAllString(err.Error(), "the builder cannot reach the registry $1: $2"), err}
}
