//go:build e2e

package test

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// object is a JSON object.
type object = map[string]any

// stage returns a stage, or an assembler, of a manifest.
func stage(name string, options object) object { return object{"name": name, "options": options} }

// manifestFile writes a manifest in the 2019 form and returns its path.
func manifestFile(t testing.TB, name string, m object) string {
	t.Helper()
	data, err := json.MarshalIndent(m, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	return textFile(t, name, string(data)+"\n")
}

func textFile(t testing.TB, name, text string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	return file
}

// Identifiers of the disks that the tests make.
const (
	diskID = "0x14fc63d2"
	rootID = "5f0c2c2e-94a3-4e0b-9a63-8bd93ac3a1a8"
)

// smallImage is the name of the image of the small manifest.
const smallImage = "small.raw"

// smallSize is its size, in bytes.
const smallSize = 1 << 30

// bootstrap is the stage that several tests start from; its steps run once.
func bootstrap() object {
	return stage("org.osbuildkit.debootstrap", object{"suite": suite})
}

// qemu returns the assembler.
func qemu(format, filename string, size int64) object {
	return stage("org.osbuild.qemu", object{
		"format": format, "filename": filename, "ptuuid": diskID, "root_fs_uuid": rootID, "size": size,
	})
}

// edits is a list of stages that each edit one small file.
func edits(count int, prefix string) []any {
	var list []any
	for i := range count {
		list = append(list, stage("org.osbuild.hostname", object{"hostname": prefix + strings.Repeat("x", i+1)}))
	}
	return list
}

// small is the manifest of a small image without a kernel.
func small() object {
	return object{
		"name":      "small",
		"stages":    []any{bootstrap(), stage("org.osbuild.hostname", object{"hostname": "small"})},
		"assembler": qemu("raw", smallImage, smallSize),
	}
}

// lean is small with a build root that has what its assembler needs and no
// more, for tests that carry whole caches around.
func lean() object {
	m := small()
	m["build"] = object{"stages": []any{stage("org.osbuildkit.debootstrap", object{"suite": suite, "packages": []string{"e2fsprogs"}})}}
	return m
}

// demo returns the path of the example and its text.
func demo(t testing.TB) (string, []byte) {
	t.Helper()
	file, err := filepath.Abs("../examples/debian-nginx.json")
	if err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return file, data
}

// demoOutput is the directory of the demo's image, which several tests use.
func demoOutput() string { return filepath.Join(shared.store, "demo-output") }

// demoImage is the name of the demo's image.
const demoImage = "debian-nginx.qcow2"

// needDemo returns the path of the demo's image and builds it if no test has.
func needDemo(t testing.TB) string {
	t.Helper()
	image := filepath.Join(demoOutput(), demoImage)
	if _, err := os.Stat(image); err != nil {
		file, _ := demo(t)
		build(t, "-o", demoOutput(), file)
	}
	return image
}

// sha256File returns the checksum of a file in hex.
func sha256File(t testing.TB, name string) string {
	t.Helper()
	f, err := os.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		t.Fatal(err)
	}
	return hex.EncodeToString(h.Sum(nil))
}

// readFile returns the content of a small file.
func readFile(t testing.TB, name string) []byte {
	t.Helper()
	data, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// files lists the names in a directory, hidden ones too; none if it is missing.
func files(t testing.TB, dir string) []string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil && !os.IsNotExist(err) {
		t.Fatal(err)
	}
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}
