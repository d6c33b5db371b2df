package catalog_test

import (
	"encoding/json"
	"regexp"
	"slices"
	"testing"

	"github.com/osbuildkit/osbuildkit/catalog"
)

// anyKeys are the places of options, by module, where an object may have any
// key. There "$arg" could be meant as it stands, which is written with
// "$literal".
var anyKeys = map[string][]string{
	"org.osbuild.noop": {""}, // ignores its options
}

// A marker of a build argument is an object, {"$arg": …}. No option that a
// built-in module takes may look like that, or a manifest with "args" could
// mean two things.
func TestNoOptionLooksLikeAMarker(t *testing.T) {
	t.Parallel()
	c := catalog.Builtin()
	for _, kind := range kinds {
		for _, name := range c.Names(kind) {
			data, _ := c.Schema(kind, name)
			var doc any
			if err := json.Unmarshal(data, &doc); err != nil {
				t.Fatal(err)
			}
			for _, at := range takesMarkers(doc, "") {
				if !slices.Contains(anyKeys[name], at) {
					t.Errorf("%s: the object at %q of the schema takes the key \"$arg\": give its keys a pattern, or add it to the list", name, at)
				}
			}
		}
	}
}

// takesMarkers lists the places of a schema that take an object with the key
// of a marker.
func takesMarkers(v any, at string) []string {
	var out []string
	switch v := v.(type) {
	case []any:
		for _, kid := range v {
			out = append(out, takesMarkers(kid, at+"/…")...)
		}
	case map[string]any:
		_, properties := v["properties"]
		more, hasMore := v["additionalProperties"]
		if v["type"] == "object" || properties || hasMore {
			names, _ := v["propertyNames"].(map[string]any)
			pattern, _ := names["pattern"].(string)
			refused := pattern != "" && !regexp.MustCompile(pattern).MatchString("$arg")
			if more != false && !refused {
				out = append(out, at)
			}
		}
		if p, ok := v["properties"].(map[string]any); ok {
			for _, marker := range []string{"$arg", "$format", "$literal"} {
				if _, ok := p[marker]; ok {
					out = append(out, at+"/"+marker)
				}
			}
		}
		for k, kid := range v {
			out = append(out, takesMarkers(kid, at+"/"+k)...)
		}
	}
	return out
}
