package manifest

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"github.com/osbuildkit/osbuildkit/module"
)

// fakeCatalog knows a few modules whose schemas use the keywords that messages
// are made for.
type fakeCatalog map[module.Kind]map[string]string

func (c fakeCatalog) Schema(kind module.Kind, name string) ([]byte, bool) {
	s, ok := c[kind][name]
	return []byte(s), ok
}

func (c fakeCatalog) Names(kind module.Kind) []string {
	var names []string
	for n := range c[kind] {
		names = append(names, n)
	}
	slices.Sort(names)
	return names
}

func (c fakeCatalog) Check(_ module.Kind, name string, options json.RawMessage) []module.Problem {
	if name != "org.osbuild.hostname" || !strings.Contains(string(options), "localhost") {
		return nil
	}
	return []module.Problem{
		{Pointer: "/hostname", Message: "must not be localhost"},
		{Pointer: "/aliases/7", Message: "names nothing"},
		{Message: "as a whole are odd"},
	}
}

const anything = `{"type": "object"}`

var testCatalog = fakeCatalog{
	module.Stage: {
		"org.osbuild.noop":     anything,
		"org.osbuild.truncate": anything,
		"org.osbuild.chmod":    anything,
		"org.osbuild.ostree":   anything,
		"org.osbuild.broken":   `{"type": 7}`,
		"org.osbuild.far":      `{"$ref": "https://example.com/other.json"}`,
		"org.osbuild.hostname": `{
			"$ref": "#/$defs/Options",
			"$defs": {"Options": {
				"type": "object", "additionalProperties": false, "required": ["hostname"],
				"properties": {
					"hostname": {"type": "string", "minLength": 1, "maxLength": 12, "pattern": "^[a-z0-9.-]*$",
						"description": "Hostname is the name of the system. It has letters."},
					"aliases": {"type": "array", "items": {"type": "string"}, "maxItems": 3, "uniqueItems": true}
				}
			}}
		}`,
		"org.osbuild.rpm": `{"type": "object", "required": ["packages"], "properties": {
			"packages": {"type": "array", "minItems": 1, "items": {"oneOf": [
				{"type": "string"},
				{"type": "object", "additionalProperties": false, "required": ["checksum"],
					"properties": {"checksum": {"type": "string"}, "check_gpg": {"type": "boolean"}}}
			]}}
		}}`,
		"org.osbuild.grub2": `{"type": "object", "additionalProperties": false,
			"properties": {
				"rootfs": {"type": "object"}, "root_fs_uuid": {"type": "string", "format": "uuid"},
				"timeout": {"type": "integer", "minimum": 0, "exclusiveMaximum": 100},
				"step": {"type": "number", "multipleOf": 0.5, "exclusiveMinimum": 0, "maximum": 4},
				"legacy": {"type": ["string", "boolean"]},
				"uefi": {"type": "object", "minProperties": 1, "maxProperties": 2, "propertyNames": {"pattern": "^[a-z]+$"},
					"additionalProperties": {"type": "string"}},
				"entries": {"type": "array", "minItems": 2, "items": {"anyOf": [{"type": "string", "pattern": "^x"}, {"type": "integer"}]}},
				"target": {"oneOf": [
					{"type": "object", "additionalProperties": false, "required": ["type", "device"],
						"properties": {"type": {"const": "disk"}, "device": {"type": "string"}}},
					{"type": "object", "additionalProperties": false, "required": ["type", "path"],
						"properties": {"type": {"const": "file"}, "path": {"type": "string"}}}
				]},
				"mode": {"const": 3},
				"kernel": {"type": "object", "properties": {"a": true, "b": true}, "dependentRequired": {"a": ["b"]},
					"unevaluatedProperties": false},
				"size": {"anyOf": [{"title": "a number of bytes", "pattern": "^[0-9]+$"}, {"pattern": "G$"}, {"enum": ["all", "none"]}]},
				"tags": {"type": "array", "contains": {"const": "main"}},
				"none": false
			},
			"not": {"required": ["legacy", "uefi"]},
			"oneOf": [{"required": ["rootfs"]}, {"required": ["root_fs_uuid"]}]
		}`,
	},
	module.Assembler: {
		"org.osbuild.qemu": `{"type": "object", "additionalProperties": false, "required": ["format", "filename"],
			"properties": {
				"format": {"enum": ["raw", "qcow2", "vdi", "vmdk"]},
				"filename": {"type": "string"},
				"size": {"type": "integer"}
			}}`,
		"org.osbuild.tar": anything,
	},
}

// load reads a manifest that must be right.
func load(t testing.TB, text string, options ...Option) *Manifest {
	t.Helper()
	m, err := Load("image.json", []byte(text), testCatalog, options...)
	if err != nil {
		t.Fatalf("Load: %v", err)
	}
	return m
}
