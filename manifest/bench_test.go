package manifest

import (
	"fmt"
	"strings"
	"testing"
)

// largeManifest is of format v1, 2 MB, with 1500 sources and 2000 references.
func largeManifest() []byte {
	var urls, refs []string
	for i := range 1500 {
		urls = append(urls, fmt.Sprintf("      \"sha256:%064x\": {\n        \"url\": \"https://host.example/%s/package-%d.rpm\"\n      }", i, strings.Repeat("directory/", 90), i))
	}
	for i := range 2000 {
		refs = append(refs, fmt.Sprintf("          {\n            \"checksum\": \"sha256:%064x\",\n            \"check_gpg\": true\n          }", i%1500))
	}
	return []byte("{\n  \"sources\": {\n    \"org.osbuild.curl\": {\"urls\": {\n" + strings.Join(urls, ",\n") +
		"\n    }}\n  },\n  \"pipeline\": {\n    \"stages\": [\n      {\n        \"name\": \"org.osbuild.rpm\",\n        \"options\": {\"packages\": [\n" +
		strings.Join(refs, ",\n") + "\n        ]}\n      }\n    ]\n  }\n}\n")
}

func TestLargeManifest(t *testing.T) {
	t.Parallel()
	m := load(t, string(largeManifest()))
	if got := len(m.Pipeline(TreePipeline).Stages[0].Inputs[0].References); got != 1500 {
		t.Errorf("%d references", got)
	}
}

func BenchmarkLoad(b *testing.B) {
	data := largeManifest()
	b.SetBytes(int64(len(data)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := Load("image.json", data, testCatalog); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkCanonical(b *testing.B) {
	data := largeManifest()
	b.SetBytes(int64(len(data)))
	for b.Loop() {
		if _, err := Canonical(data); err != nil {
			b.Fatal(err)
		}
	}
}
