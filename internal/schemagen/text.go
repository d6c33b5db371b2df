package main

import (
	"regexp"
	"strings"
	"unicode"
	"unicode/utf8"
)

var (
	// optionsOfModule is how the comment of a type of options begins.
	optionsOfModule = regexp.MustCompile(`^\w+ (?:are|is) the options of org\.osbuild(?:kit)?\.[a-z0-9.-]*[a-z0-9][.:,]?\s*`)
	// lead is how the comment of something else goes on after its name: with a verb.
	lead = regexp.MustCompile(`^(?:is|are|say|hold|[a-z]+[^is]s)\s`)
	// saysNothing are the words of a lead that describe the Go value only.
	saysNothing = regexp.MustCompile(`^(?:is|are|says|say|holds|hold)\s+`)
)

// userText turns the doc comment of a type or field into what the user of an
// option reads. Comments begin with the name of what they are about, as Go has
// it; the description of an option begins with what the option does. The text is
// "" where nothing is left to say.
func userText(name, comment string) string {
	if rest := optionsOfModule.ReplaceAllString(comment, ""); rest != comment {
		return capital(rest)
	}
	rest, ok := strings.CutPrefix(comment, name+" ")
	if !ok || !lead.MatchString(rest) {
		return comment
	}
	return capital(saysNothing.ReplaceAllString(rest, ""))
}

// capital returns a text with a capital letter at its start.
func capital(s string) string {
	if s == "" {
		return ""
	}
	first, size := utf8.DecodeRuneInString(s)
	return string(unicode.ToUpper(first)) + s[size:]
}
