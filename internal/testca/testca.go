package testca

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"time"
)

// lifetime is how long certificates are valid.
const lifetime = 6 * time.Hour

// Pair is a certificate and its private key, in PEM form.
type Pair struct{ Certificate, Key []byte }

// Authority is a certificate authority.
type Authority struct {
	// Certificate is its own one, in PEM form.
	Certificate []byte

	cert   *x509.Certificate
	key    *ecdsa.PrivateKey
	number int64
}

// New makes an authority.
func New() (*Authority, error) {
	a := &Authority{}
	template := &x509.Certificate{Subject: pkix.Name{CommonName: "Example CA"}, IsCA: true, KeyUsage: x509.KeyUsageCertSign}
	pair, err := a.sign(template)
	a.Certificate = pair.Certificate
	return a, err
}

// sign makes a key and a certificate for it; the first is the authority's.
func (a *Authority) sign(template *x509.Certificate) (Pair, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return Pair{}, err
	}
	a.number++
	template.SerialNumber = big.NewInt(a.number)
	template.NotBefore, template.NotAfter = time.Now().Add(-lifetime), time.Now().Add(lifetime)
	template.BasicConstraintsValid = true
	parent, parentKey := a.cert, a.key
	if parent == nil {
		parent, parentKey = template, key
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, &key.PublicKey, parentKey)
	if err != nil {
		return Pair{}, err
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return Pair{}, err
	}
	if a.cert == nil {
		if a.cert, err = x509.ParseCertificate(der); err != nil {
			return Pair{}, err
		}
		a.key = key
	}
	return Pair{
		Certificate: pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}),
		Key:         pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private}),
	}, nil
}

// Client makes a client's certificate.
func (a *Authority) Client() (Pair, error) {
	return a.sign(&x509.Certificate{
		Subject: pkix.Name{CommonName: "client"}, KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	})
}

// Server returns how a server on 127.0.0.1 is configured that asks each client
// for a certificate of this authority.
func (a *Authority) Server() (*tls.Config, error) {
	pair, err := a.sign(&x509.Certificate{
		Subject: pkix.Name{CommonName: "server"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	})
	if err != nil {
		return nil, err
	}
	cert, err := tls.X509KeyPair(pair.Certificate, pair.Key)
	if err != nil {
		return nil, err
	}
	clients := x509.NewCertPool()
	clients.AddCert(a.cert)
	return &tls.Config{Certificates: []tls.Certificate{cert}, ClientCAs: clients, ClientAuth: tls.RequireAndVerifyClientCert, MinVersion: tls.VersionTLS12}, nil
}
