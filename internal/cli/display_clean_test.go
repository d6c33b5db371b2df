package cli

import (
	"strings"
	"testing"

	"github.com/moby/buildkit/client"
	digest "github.com/opencontainers/go-digest"
)

// TestDisplayIsClean gives the display what a hostile step prints, and addresses
// with credentials, in all that it shows.
func TestDisplayIsClean(t *testing.T) {
	t.Parallel()
	d := &display{names: map[digest.Digest]string{}, logs: map[digest.Digest][]byte{}}
	const bad = "https://u:hunter2@h/?token=hunter2 \x1b]0;x\x07\u009b2J"
	s := &client.SolveStatus{
		Vertexes: []*client.Vertex{{Digest: "a", Name: bad, Error: bad}},
		Statuses: []*client.VertexStatus{{Vertex: "a", ID: bad, Name: bad}},
		Logs:     []*client.VertexLog{{Vertex: "a", Data: []byte(bad[:len(bad)-3])}, {Vertex: "a", Data: []byte(bad[len(bad)-3:] + "\n")}},
		Warnings: []*client.VertexWarning{{Vertex: "a", Short: []byte(bad), Detail: [][]byte{[]byte(bad)}}},
	}
	d.note(s)
	for _, text := range []string{
		s.Vertexes[0].Name, s.Vertexes[0].Error, s.Statuses[0].ID, s.Statuses[0].Name, string(s.Logs[0].Data) + string(s.Logs[1].Data),
		string(s.Warnings[0].Short), string(s.Warnings[0].Detail[0]), string(d.logs["a"]), d.names["a"],
	} {
		if strings.Contains(text, "hunter2") || strings.ContainsAny(text, "\x1b\x07\u009b") || !strings.Contains(text, "@h/") {
			t.Errorf("%q", text)
		}
	}
}
