package lint

import (
	"encoding/json"
	"maps"
	"slices"
	"strconv"

	"github.com/osbuildkit/osbuildkit/internal/redact"
	"github.com/osbuildkit/osbuildkit/manifest"
)

// credentialsInAddress looks for addresses that hold what opens them.
func credentialsInAddress(p *pass) {
	const message = "the address holds credentials, for everyone to read who has the manifest or the provenance of the build: %s"
	p.stages(func(at *manifest.Pipeline, s *manifest.Stage) {
		advice := "leave them out"
		if s.Type == aptStage || s.Type == debootstrapStage {
			advice = "name a secret of the build in \"auth\" of org.osbuildkit.apt"
		}
		var options any
		if json.Unmarshal(s.Options, &options) != nil {
			return
		}
		eachText(options, nil, func(path []string, text string) {
			if redact.Text(text) != text {
				p.atOption(at, s, path, message, advice)
			}
		})
	})
	p.items(func(_ *manifest.Source, pointer, _ string, urls []string) {
		if slices.ContainsFunc(urls, func(u string) bool { return redact.Text(u) != u }) {
			p.atKey("", pointer, message, "give the file with the build instead (--build-context)")
		}
	})
}

// eachText calls fn for each text in a value of JSON, in the order of keys.
func eachText(v any, path []string, fn func(path []string, text string)) {
	switch v := v.(type) {
	case string:
		fn(slices.Clone(path), v)
	case []any:
		for i := range v {
			eachText(v[i], append(path, strconv.Itoa(i)), fn)
		}
	case map[string]any:
		for _, key := range slices.Sorted(maps.Keys(v)) {
			eachText(v[key], append(path, key), fn)
		}
	}
}
