package lint

import (
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/osbuildkit/osbuildkit/manifest"
)

// groupsStage makes groups.
const groupsStage = "org.osbuild.groups"

// claims says who has an identifier. What is found at another place under the
// same identifier is worth a word.
type claims map[string]string

// take returns who has an identifier already.
func (c claims) take(identifier, owner string) (other string, taken bool) {
	if other, taken = c[identifier]; !taken {
		c[identifier] = owner
	}
	return other, taken && other != owner
}

func duplicateIdentifier(p *pass) {
	for _, q := range p.m.Pipelines {
		users, groups := claims{}, claims{}
		for _, s := range q.Stages {
			switch s.Type {
			case usersStage:
				p.numbers(q, s, "users", "uid", "user", users)
			case groupsStage:
				p.numbers(q, s, "groups", "gid", "group", groups)
			}
		}
	}
	p.disks(p.labels)
}

// number is a number, or the same as text.
type number string

// UnmarshalJSON reads either and leaves anything else out.
func (n *number) UnmarshalJSON(data []byte) error {
	text := strings.Trim(string(data), `"`)
	if v, err := strconv.ParseFloat(text, 64); err == nil && v >= 0 && v < 1<<32 && v == float64(int64(v)) {
		*n = number(strconv.FormatInt(int64(v), 10))
	}
	return nil
}

// numbers reports users or groups with one number.
func (p *pass) numbers(at *manifest.Pipeline, s *manifest.Stage, list, key, what string, has claims) {
	var o map[string]json.RawMessage
	decode(s, &o)
	var entries map[string]map[string]json.RawMessage
	_ = json.Unmarshal(o[list], &entries) //nolint:errcheck // see decode
	if string(o["force"]) == "true" {
		return // a number that is taken is left alone
	}
	type place struct {
		name string
		line int
		n    number
	}
	var places []place
	for name, e := range entries {
		var n number
		if e[key] == nil || json.Unmarshal(e[key], &n) != nil || n == "" {
			continue
		}
		pointer := manifest.JoinPointer(manifest.JoinPointer(s.Pointer, "options"), list, name, key)
		span, _ := at.Text.Index.Value(pointer)
		places = append(places, place{name, span.Start.Line<<16 + span.Start.Column, n})
	}
	// In the order of the text: the second is the one that is reported.
	slices.SortFunc(places, func(a, b place) int { return a.line - b.line })
	for _, e := range places {
		if other, taken := has.take(string(e.n), e.name); taken {
			p.atOption(at, s, []string{list, e.name, key}, "%s is the number of the %s %s too, so the system takes both for one: give each its own", e.n, what, quote(other))
		}
	}
}

// labels reports labels that two parts of a disk have, and names of partitions
// by which etc/fstab looks for one.
func (p *pass) labels(at *manifest.Pipeline, s *manifest.Stage, o diskOptions) {
	used := p.usedNames(s)
	has := claims{}
	for i, q := range o.Partitions {
		if q.UUID != "" && strings.EqualFold(q.UUID, o.PTUUID) && strings.EqualFold(o.PTType, "gpt") {
			p.atOption(at, s, []string{"partitions", strconv.Itoa(i), "uuid"}, "%s is the identifier of the disk too: give each its own", quote(q.UUID))
		}
	}
	report := func(kind, text, owner string, path ...string) {
		other, taken := has.take(kind+"="+text, owner)
		if !taken || kind == "PARTLABEL" && used[kind+"="+text] == "" {
			return
		}
		use := ""
		if u := used[kind+"="+text]; u != "" {
			use = ", and " + u + " looks for it"
		}
		p.atOption(at, s, path, "%s is the %s of %s too%s: give each its own", quote(text), strings.ToLower(kind), other, use)
	}
	for i, q := range o.Partitions {
		n, owner := strconv.Itoa(i), fmt.Sprintf("partition %d", i+1)
		if q.Name != "" && strings.EqualFold(o.PTType, "gpt") {
			report("PARTLABEL", q.Name, owner, "partitions", n, "name")
		}
		if q.LUKS != nil && q.LUKS.Label != "" {
			report("LABEL", q.LUKS.Label, "the encrypted volume of "+owner, "partitions", n, "luks", "label")
		}
	}
	for _, f := range o.filesystems() {
		label := f.Label
		if f.Type == "vfat" && len(label) > fatLabel {
			label = strings.TrimRight(label[:fatLabel], " ")
		}
		if label != "" {
			report("LABEL", label, "the file system in "+strings.Join(f.path[:len(f.path)-1], "/"), append(f.path, "label")...)
		}
	}
}

// usedNames returns the labels and names that stages of the disk's trees look
// for, with who does.
func (p *pass) usedNames(assembler *manifest.Stage) map[string]string {
	out := map[string]string{}
	for _, tree := range p.m.Trees(assembler) {
		for _, s := range tree.Stages {
			var o struct {
				Filesystems []struct{ Label, PartLabel string } `json:"filesystems"`
				RootFS      struct{ Label string }              `json:"rootfs"`
				BootFS      struct{ Label string }              `json:"bootfs"`
			}
			switch s.Type {
			case "org.osbuild.fstab", "org.osbuild.grub2", "org.osbuild.grub2.legacy":
				decode(s, &o)
			}
			for _, f := range o.Filesystems {
				out["LABEL="+f.Label], out["PARTLABEL="+f.PartLabel] = s.Type, s.Type
			}
			out["LABEL="+o.RootFS.Label], out["LABEL="+o.BootFS.Label] = s.Type, s.Type
		}
	}
	return out
}
