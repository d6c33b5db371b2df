//go:build e2e

package test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"
)

// TestFrontendRemote spreads six images over two builders that are reached
// over TLS and share what they have built through a registry.
func TestFrontendRemote(t *testing.T) {
	needFrontend(t)
	certs := newCertificates(t)
	builders := []*daemon{tlsDaemon(t, "remote-a", certs), tlsDaemon(t, "remote-b", certs)}
	cache := "type=registry,ref=" + frontend.registry + "/farm:1"

	// Without a client certificate nobody gets in.
	output(t, "sh", "-c", "! timeout 20 "+buildctlProgram+" --addr "+builders[0].address+" --tlsservername localhost --tlscacert "+certs+"/ca.pem debug workers")

	// One of them builds what all have in common.
	common := buildDir(t, syntax(lean()))
	begin := time.Now()
	buildxBuild(t, builders[0], "--cache-from", "type=registry,ref="+frontend.registry+"/cache:1", "--cache-to", cache+",mode=max,compression=zstd",
		"-o", t.TempDir(), "-f", filepath.Join(common, "image.json"), common)
	t.Logf("the first image, with the export of its cache: %.1fs", time.Since(begin).Seconds())

	out := t.TempDir()
	begin = time.Now()
	var all sync.WaitGroup
	for i, d := range builders {
		all.Go(func() { bake(t, d, cache, out, 3*i, 3) })
	}
	all.Wait()
	t.Logf("six images on two builders: %.1fs", time.Since(begin).Seconds())
	sums := map[string]bool{}
	for i := range 6 {
		dir := filepath.Join(out, fmt.Sprint(i))
		checkSums(t, dir, smallImage)
		sums[sha256File(t, filepath.Join(dir, smallImage))] = true
	}
	if len(sums) != 6 {
		t.Errorf("%d different images of 6", len(sums))
	}
}

// bake builds several images on a builder in one go.
func bake(t *testing.T, d *daemon, cache, out string, first, count int) {
	targets, names := object{}, []string{}
	for i := first; i < first+count; i++ {
		m := lean()
		m["stages"] = append(m["stages"].([]any), stage("org.osbuild.hostname", object{"hostname": fmt.Sprintf("node%d", i)}))
		name := fmt.Sprintf("image%d", i)
		names = append(names, name)
		dir := buildDir(t, syntax(m))
		targets[name] = object{
			"context": dir, "dockerfile": "image.json",
			"contexts":   object{frontendName: "oci-layout://" + frontend.layout + ":latest"},
			"args":       object{"OSBUILDKIT_MIRROR": shared.mirror.URL()},
			"cache-from": []string{cache},
			"output":     []string{"type=local,dest=" + filepath.Join(out, fmt.Sprint(i))},
		}
	}
	data, err := json.Marshal(object{"group": object{"default": object{"targets": names}}, "target": targets})
	if err != nil {
		t.Error(err)
		return
	}
	file := filepath.Join(out, "bake-"+d.name+".json")
	if err := os.WriteFile(file, data, 0o644); err != nil {
		t.Error(err)
		return
	}
	if got, err := buildxCommand("bake", "--builder", d.name, "--allow", "fs=*", "--progress", "plain", "-f", file).CombinedOutput(); err != nil {
		t.Errorf("bake on %s: %v: %s", d.name, err, got)
	}
}

// tlsDaemon starts a daemon that takes only clients with a certificate.
func tlsDaemon(t *testing.T, name, certs string) *daemon {
	t.Helper()
	address := fmt.Sprintf("tcp://127.0.0.1:%d", freePort(t))
	newDaemon(t, name+"-local", "--addr", address, "--tlscacert", certs+"/ca.pem", "--tlscert", certs+"/server.pem", "--tlskey", certs+"/server-key.pem")
	if err := createBuilder(name, address, "cacert="+certs+"/ca.pem", "cert="+certs+"/client.pem", "key="+certs+"/client-key.pem", "servername=localhost"); err != nil {
		t.Fatal(err)
	}
	return &daemon{name: name, address: address}
}

// newCertificates makes an authority, and certificates of a server and a
// client that it has signed.
func newCertificates(t *testing.T) (dir string) {
	t.Helper()
	dir = t.TempDir()
	write := func(name, kind string, data []byte) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(dir, name), pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: data}), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	template := func(serial int64, name string) *x509.Certificate {
		return &x509.Certificate{
			SerialNumber: big.NewInt(serial), Subject: pkix.Name{CommonName: name},
			NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
			DNSNames: []string{"localhost"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
			KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
		}
	}
	ca := template(1, "authority")
	ca.IsCA, ca.BasicConstraintsValid, ca.KeyUsage = true, true, x509.KeyUsageCertSign
	caKey, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	for i, name := range []string{"ca", "server", "client"} {
		cert, key := template(int64(i+1), name), caKey
		if name == "ca" {
			cert = ca
		} else if key, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader); err != nil {
			t.Fatal(err)
		}
		data, err := x509.CreateCertificate(rand.Reader, cert, ca, &key.PublicKey, caKey)
		if err != nil {
			t.Fatal(err)
		}
		write(name+".pem", "CERTIFICATE", data)
		private, err := x509.MarshalECPrivateKey(key)
		if err != nil {
			t.Fatal(err)
		}
		write(name+"-key.pem", "EC PRIVATE KEY", private)
	}
	return dir
}
