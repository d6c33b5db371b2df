package packages

import (
	"encoding/json"
	"errors"
	"fmt"
	"path"
	"regexp"
	"strings"

	"github.com/osbuildkit/osbuildkit/module"
)

// RPMOptions are the options of org.osbuild.rpm.
type RPMOptions struct {
	// Packages lists the package files by the checksums under which "sources"
	// has them. They are installed in one transaction, which finds its order
	// by itself.
	Packages []RPMPackage `json:"packages,omitempty"`
	// Gpgkeys lists public keys, as armored text. They may sign packages, and
	// the system's rpm knows them afterwards.
	Gpgkeys []string `json:"gpgkeys,omitempty"`
	// GpgkeysFromtree lists files of the tree whose keys the system's rpm is to
	// know, once the packages are installed.
	GpgkeysFromtree []string `json:"gpgkeys.fromtree,omitempty"`
	// Dbpath is the directory of the tree that has, or is to have, rpm's
	// database. The default is the one that the tree has, and for a tree
	// without one that of the build root's rpm.
	Dbpath string `json:"dbpath,omitempty" jsonschema:"pattern=^/[A-Za-z0-9._/-]+$"`
	// DisableDracut says whether the hooks that make an initial RAM disk for
	// each kernel are kept from running.
	DisableDracut bool `json:"disable_dracut,omitempty" jsonschema:"default=false"`
	// Exclude says what is not installed of the packages.
	Exclude *RPMExclude `json:"exclude,omitempty"`
	// InstallLangs lists the languages whose files are installed.
	InstallLangs []string `json:"install_langs,omitempty" jsonschema:"minItems=1"`
	// Nodeps says whether packages are installed although something that they
	// need is missing.
	Nodeps bool `json:"nodeps,omitempty" jsonschema:"default=false"`
	// Ignorearch says whether packages are installed although they are for
	// another architecture.
	Ignorearch bool `json:"ignorearch,omitempty" jsonschema:"default=false"`
	// OstreeBooted says whether scriptlets are to believe that the system is
	// one of OSTree.
	OstreeBooted bool `json:"ostree_booted,omitempty" jsonschema:"default=false"`
}

// RPMExclude says what is not installed of packages.
type RPMExclude struct {
	// Docs leaves out files that the packages mark as documentation.
	Docs bool `json:"docs,omitempty" jsonschema:"default=false"`
}

// RPMPackage is one package file: its checksum, or an object around it.
type RPMPackage struct {
	// Checksum is the key of the file in "sources".
	Checksum string `json:"checksum"`
	// CheckGPG says whether one of the keys must have signed the package.
	CheckGPG bool `json:"check_gpg,omitempty"`
}

// JSONSchemaText returns the JSON schema of an RPMPackage.
func (RPMPackage) JSONSchemaText() string {
	return `{"type": ["string", "object"], "properties": {
  "checksum": {"type": "string", "description": "The checksum of the file, as \"sources\" has it."},
  "check_gpg": {"type": "boolean", "description": "Whether one of the keys must have signed the package.", "default": false}},
 "required": ["checksum"], "additionalProperties": false}`
}

// UnmarshalJSON reads either form.
func (p *RPMPackage) UnmarshalJSON(data []byte) error {
	*p = RPMPackage{}
	if len(data) > 0 && data[0] == '"' {
		return json.Unmarshal(data, &p.Checksum)
	}
	type plain RPMPackage
	return json.Unmarshal(data, (*plain)(p))
}

// File is the name under which the part apply is given the file.
func (p RPMPackage) File() string {
	_, sum, _ := strings.Cut(p.Checksum, ":")
	return sum + ".rpm"
}

var validRPMChecksum = regexp.MustCompile(`^(md5:[0-9a-f]{32}|sha1:[0-9a-f]{40}|sha256:[0-9a-f]{64}|sha384:[0-9a-f]{96}|sha512:[0-9a-f]{128})$`)

func checkRPM(options json.RawMessage) []module.Problem {
	var o RPMOptions
	if err := json.Unmarshal(options, &o); err != nil {
		return []module.Problem{{Message: err.Error()}}
	}
	var c checker
	signed := false
	for i, p := range o.Packages {
		if !validRPMChecksum.MatchString(p.Checksum) {
			c.add(fmt.Sprintf("/packages/%d", i), "%q is no checksum such as \"sha256:…\"", p.Checksum)
		}
		signed = signed || p.CheckGPG
	}
	keys, err := givenKeys(o.Gpgkeys)
	if err == nil && signed && keys != nil {
		err = keys.Check()
	}
	if err != nil {
		c.add("/gpgkeys", "%v", err)
	}
	if signed && len(o.Gpgkeys) == 0 {
		c.add("", "signatures of packages are to be verified, and there is no key: give \"gpgkeys\"")
	}
	for i, k := range o.GpgkeysFromtree {
		if err := plainPath(k); err != nil {
			c.add(fmt.Sprintf("/gpgkeys.fromtree/%d", i), "%v", err)
		}
	}
	for i, l := range o.InstallLangs {
		if !validPlainWord.MatchString(strings.ReplaceAll(l, "@", "_")) {
			c.add(fmt.Sprintf("/install_langs/%d", i), "%q is no language such as \"en_US\"", l)
		}
	}
	return c.problems
}

func plainPath(s string) error {
	if path.Clean("/"+s) != "/"+strings.TrimPrefix(s, "/") || strings.ContainsAny(s, "\n\x00") {
		return errors.New("want a plain path of a file in the tree")
	}
	return nil
}
