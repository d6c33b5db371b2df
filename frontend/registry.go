package frontend

import (
	"regexp"
	"strings"
)

// entitlementRefused is what a builder says that is asked for the network of its
// machine, and was not told at its start that it may give it.
const entitlementRefused = "granting entitlement network.host is not allowed"

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
// about a registry that it cannot reach, or about the network that it does not give,
// are in it, and else as it is.
func Explain(err error) error {
	if err == nil {
		return nil
	}
	if strings.Contains(err.Error(), entitlementRefused) {
		return &plainError{"the builder does not give steps the network of its machine: start it with --allow-insecure-entitlement network.host, or build without --allow network.host", err}
	}
	if !registryRequest.MatchString(err.Error()) {
		return err
	}
	return &plainError{registryRequest.ReplaceAllString(err.Error(), "the builder cannot reach the registry $1: $2"), err}
}
