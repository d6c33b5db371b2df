package rpmmd

import (
	"fmt"
	"strings"
)

// Variables are what $name in the address of a repository stands for.
type Variables struct {
	// ReleaseVer is $releasever. What stands before its first dot is
	// $releasever_major, and what stands after it $releasever_minor.
	ReleaseVer string
	// BaseArch is $basearch, such as "x86_64" or "i386".
	BaseArch string
	// Arch is $arch; if it is empty, the machine that BaseArch usually
	// stands for.
	Arch string
}

// machines are the architectures that have another name as a base.
var machines = map[string]string{"i386": "i686", "armhfp": "armv7hl", "arm": "armv5tel", "alpha": "alphaev6", "sparc": "sparcv9"}

func (v Variables) lookup(name string) (value, option string, ok bool) {
	major, minor, _ := strings.Cut(v.ReleaseVer, ".")
	switch name {
	case "releasever":
		return v.ReleaseVer, "releasever", true
	case "releasever_major":
		return major, "releasever", true
	case "releasever_minor":
		return minor, "releasever", true
	case "basearch":
		return v.BaseArch, "basearch", true
	case "arch":
		if v.Arch == "" {
			if m, ok := machines[v.BaseArch]; ok {
				return m, "basearch", true
			}
			return v.BaseArch, "basearch", true
		}
		return v.Arch, "basearch", true
	}
	return "", "", false
}

// Expand replaces $name and ${name} in an address. A variable that is not
// known is an error: with it left in, the address would lead nowhere.
func (v Variables) Expand(s string) (string, error) {
	if len(s) > maxURL {
		return "", fmt.Errorf("an address of %d characters, more than %d", len(s), maxURL)
	}
	var out strings.Builder
	for {
		before, rest, found := strings.Cut(s, "$")
		out.WriteString(before)
		if !found {
			break
		}
		var name string
		if inner, ok := strings.CutPrefix(rest, "{"); ok {
			var closed bool
			if name, s, closed = strings.Cut(inner, "}"); !closed {
				return "", fmt.Errorf("the variable ${%.40s is not closed", inner)
			}
		} else {
			n := 0
			for n < len(rest) && (rest[n] == '_' || validChars(rest[n:n+1], 1, "")) {
				n++
			}
			name, s = rest[:n], rest[n:]
		}
		value, option, ok := v.lookup(name)
		switch {
		case !ok:
			return "", fmt.Errorf("there is no variable $%.40s; known are $releasever, $releasever_major, $releasever_minor, $basearch and $arch", name)
		case value == "":
			return "", fmt.Errorf("$%s is needed, and the option %q does not say it", name, option)
		case !validChars(value, 100, "._+~-"):
			return "", fmt.Errorf("%.100q is no valid value of $%s", value, name)
		}
		out.WriteString(value)
	}
	if out.Len() > maxURL {
		return "", fmt.Errorf("an address of %d characters, more than %d", out.Len(), maxURL)
	}
	return out.String(), nil
}

// baseArches are the platforms whose architecture has another name here.
var baseArches = map[string]string{"amd64": "x86_64", "arm64": "aarch64", "386": "i386", "arm/v7": "armhfp", "arm": "armhfp", "mips64le": "mips64el"}

// BaseArch returns the name that RPM distributions have for the architecture of
// a platform, such as "x86_64" for amd64.
func BaseArch(architecture, variant string) string {
	if name, ok := baseArches[architecture+"/"+variant]; ok {
		return name
	}
	if name, ok := baseArches[architecture]; ok {
		return name
	}
	return architecture
}
