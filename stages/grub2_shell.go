package stages

import "strings"

// shellQuoteCommands writes a double-quoted word of the shell in which command
// substitutions are such.
func shellQuoteCommands(s string) string {
	var b strings.Builder
	for s != "" {
		n, ok := substitution(s)
		if ok && n > 0 {
			b.WriteString(s[:n])
			s = s[n:]
			continue
		}
		quoted := shellQuote(s[:1])
		b.WriteString(quoted[1 : len(quoted)-1])
		s = s[1:]
	}
	return `"` + b.String() + `"`
}

// substitution returns the length of the command substitution that a text
// begins with: "$(…)" or "`…`". It is 0 if it begins with none; one that has no
// end is not ok.
func substitution(s string) (n int, ok bool) {
	if strings.HasPrefix(s, "`") {
		for i := 1; i < len(s); i++ {
			switch s[i] {
			case '\\':
				i++
			case '`':
				return i + 1, true
			}
		}
		return 0, false
	}
	if !strings.HasPrefix(s, "$(") {
		return 0, true
	}
	depth, quoted := 0, false
	for i := 1; i < len(s); i++ {
		switch c := s[i]; {
		case c == '\\':
			i++
		case c == '"':
			quoted = !quoted
		case c == '\'' && !quoted:
			end := strings.IndexByte(s[i+1:], '\'')
			if end < 0 {
				return 0, false
			}
			i += 1 + end
		case c == '(' && !quoted:
			depth++
		case c == ')' && !quoted:
			if depth--; depth == 0 {
				return i + 1, true
			}
		}
	}
	return 0, false
}
