package program

import (
	"bytes"
	"debug/elf"
	"fmt"
	"io"
	"os"
	"path"
	"runtime"
	"strings"

	"github.com/osbuildkit/osbuildkit/internal/command"
)

// maxFirstLine bounds the first line of a script, as Linux does.
const maxFirstLine = 256

// missing looks for what a program needs and root does not have. It returns
// "" if it finds nothing.
func missing(file, root string) string {
	f, err := os.Open(file)
	if err != nil {
		return ""
	}
	defer f.Close()
	head := make([]byte, maxFirstLine)
	n, err := io.ReadFull(f, head)
	if err != nil && n == 0 {
		return ""
	}
	head = head[:n]
	switch {
	case bytes.HasPrefix(head, []byte("#!")):
		return missingInterpreter(string(head[2:]), root)
	case bytes.HasPrefix(head, []byte(elf.ELFMAG)):
		return missingLoader(f, root)
	}
	return ""
}

// missingInterpreter looks at the first line of a script.
func missingInterpreter(line, root string) string {
	line, _, _ = strings.Cut(line, "\n")
	if strings.HasSuffix(line, "\r") {
		return "its first line ends with a carriage return: save the file with the line ends of Unix"
	}
	words := strings.Fields(line)
	if len(words) == 0 {
		return `its first line is "#!" without an interpreter`
	}
	interpreter := words[0]
	if !path.IsAbs(interpreter) {
		return fmt.Sprintf("its interpreter %q is not an absolute path", interpreter)
	}
	st, err := os.Stat(interpreter)
	switch {
	case err != nil:
		return fmt.Sprintf("its interpreter %s is not in %s: install it there, or write the module in another language", interpreter, root)
	case !st.Mode().IsRegular() || st.Mode().Perm()&0o111 == 0:
		return fmt.Sprintf("its interpreter %s is no program in %s", interpreter, root)
	}
	return ""
}

// missingLoader looks at the header of a program.
func missingLoader(r io.ReaderAt, root string) string {
	f, err := elf.NewFile(r)
	if err != nil {
		return fmt.Sprintf("is not a program that can be run: %v", err)
	}
	defer f.Close()
	if want := machine(); want != elf.EM_NONE && f.Machine != want {
		return fmt.Sprintf("is a program for %v, and the step runs on %v", f.Machine, want)
	}
	for _, p := range f.Progs {
		if p.Type != elf.PT_INTERP || p.Filesz > maxFirstLine {
			continue
		}
		name := make([]byte, p.Filesz)
		if _, err := p.ReadAt(name, 0); err != nil {
			return ""
		}
		loader := strings.TrimRight(string(name), "\x00")
		if _, err := os.Stat(loader); err != nil {
			return fmt.Sprintf("needs the loader %s, which is not in %s: link it statically, or install the C library there", loader, root)
		}
	}
	return ""
}

// machine is the architecture of this process.
func machine() elf.Machine {
	switch runtime.GOARCH {
	case "amd64":
		return elf.EM_X86_64
	case "arm64":
		return elf.EM_AARCH64
	}
	return elf.EM_NONE
}

// missingOfEnv says which program a script asks env for that is not there.
// Such a script starts, and env's own words do not name the root.
func missingOfEnv(file, root string, epoch int64) string {
	f, err := os.Open(file)
	if err != nil {
		return ""
	}
	defer f.Close()
	head := make([]byte, maxFirstLine)
	n, _ := io.ReadFull(f, head)
	line, _, _ := strings.Cut(string(head[:n]), "\n")
	words := strings.Fields(strings.TrimPrefix(line, "#!"))
	if !strings.HasPrefix(line, "#!") || len(words) < 2 || path.Base(words[0]) != "env" {
		return ""
	}
	name := words[1]
	if name == "-S" && len(words) > 2 {
		name = words[2]
	}
	if strings.ContainsAny(name, "=/") || strings.HasPrefix(name, "-") {
		return ""
	}
	for _, dir := range strings.Split(command.Environment(epoch)["PATH"], ":") {
		if _, err := os.Stat(path.Join(dir, name)); err == nil {
			return ""
		}
	}
	return fmt.Sprintf("its interpreter %s is not in %s: install it there, or write the module in another language", name, root)
}
