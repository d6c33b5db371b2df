package stages

import (
	"regexp"
	"strings"
)

// iniFile is a file of sections and keys that is edited in place: comments,
// blank lines, order and spelling stay as they are.
type iniFile struct {
	lines []string
}

func parseINI(text string) *iniFile { return &iniFile{strings.SplitAfter(text, "\n")} }

func (f *iniFile) String() string { return strings.Join(f.lines, "") }

var (
	iniSection = regexp.MustCompile(`^\[([^\]]+)\]`)
	// The groups are the key, what stands between it and the value, and the
	// value with what follows it.
	iniOption = regexp.MustCompile(`^([^:=\s\[#;][^:=]*?)(\s*[:=][ \t]*)(.*)$`)
	// A comment on the line of a value begins with a semicolon after a space.
	iniComment = regexp.MustCompile(`[ \t];.*$`)
)

// section returns the lines of a section: that of its header, and the one
// after its last key. A section that is split has its first part found.
func (f *iniFile) section(name string) (head, end int, ok bool) {
	for i, line := range f.lines {
		m := iniSection.FindStringSubmatch(line)
		switch {
		case m == nil && ok && (iniOption.MatchString(strings.TrimRight(line, "\r\n")) || iniContinues(line)):
			end = i + 1
		case m == nil:
		case ok:
			return head, end, true
		case m[1] == name:
			head, end, ok = i, i+1, true
		}
	}
	return head, end, ok
}

// iniContinues reports whether a line goes on with the value of the one before.
func iniContinues(line string) bool {
	return line != "" && (line[0] == ' ' || line[0] == '\t') && strings.TrimSpace(line) != ""
}

// set gives a key of a section a value of one line. A section that is missing
// is added at the end, a key that is missing after the last of its section.
func (f *iniFile) set(section, key, value string) {
	head, end, ok := f.section(section)
	if !ok {
		f.endLine(len(f.lines))
		if f.String() != "" {
			f.lines = append(f.lines, "\n")
		}
		f.lines = append(f.lines, "["+section+"]\n", key+" = "+value+"\n")
		return
	}
	for i := head + 1; i < end; i++ {
		text := strings.TrimRight(f.lines[i], "\r\n")
		m := iniOption.FindStringSubmatch(text)
		if m == nil || !strings.EqualFold(m[1], key) {
			continue
		}
		next := i + 1
		for next < end && iniContinues(f.lines[next]) {
			next++
		}
		f.lines[i] = m[1] + m[2] + value + iniComment.FindString(m[3]) + f.lines[i][len(text):]
		f.lines = append(f.lines[:i+1], f.lines[next:]...)
		return
	}
	f.endLine(end)
	f.lines = append(f.lines[:end], append([]string{key + " = " + value + "\n"}, f.lines[end:]...)...)
}

// endLine ends the line before line i, if the file ends without a line break.
func (f *iniFile) endLine(i int) {
	if i > 0 && f.lines[i-1] != "" && !strings.HasSuffix(f.lines[i-1], "\n") {
		f.lines[i-1] += "\n"
	}
}
