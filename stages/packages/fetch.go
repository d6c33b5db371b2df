package packages

import (
	"bytes"
	"context"
	_ "embed" // for fetch.py
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/osbuildkit/osbuildkit/internal/command"
	"github.com/osbuildkit/osbuildkit/internal/expand"
	"github.com/osbuildkit/osbuildkit/module"
)

// FetchOptions are those of the part org.osbuildkit.fetch, which downloads one
// file in a step: BuildKit's own downloads have no client certificates, and send
// credentials to the letter, with the end of their line.
type FetchOptions struct {
	// URL is an https address, or one of http if there are credentials.
	URL string `json:"url"`
	// File is the name of the file in the output.
	File string `json:"file"`
	// Checksum is that of the content, such as "sha256:…"; empty leaves the
	// content to whoever reads it.
	Checksum string `json:"checksum,omitempty"`
	// Insecure says that the server may be anybody.
	Insecure bool `json:"insecure,omitempty"`
	// Report has the step write what went wrong instead of failing, in a file
	// with the name of File and the ending ReportSuffix: see FetchReport. It is
	// empty if all went well. It is for files that may well be missing: BuildKit
	// (0.34) loses the reason of the second step that fails in a build.
	Report bool `json:"report,omitempty"`
}

// ReportSuffix is what the name of a report ends with.
const ReportSuffix = ".report"

// FetchReport is what a step reports that has not got its file.
type FetchReport struct {
	// Code is the exit code that the step would have had.
	Code int `json:"code"`
	// Text says what went wrong.
	Text string `json:"text"`
}

// Names of the part's secrets, each of which may be missing.
const (
	// SecretCA has the certificates of the authorities that are trusted.
	SecretCA = "ca"
	// SecretCertificate has the client's certificate, and may have its key.
	SecretCertificate = "cert"
	// SecretKey has the client's private key.
	SecretKey = "key"
	// SecretAuthorization has what is sent as the Authorization header.
	SecretAuthorization = "authorization"
)

// AuthorizationFile is what the part org.osbuildkit.fetch.secrets writes about
// that secret: one of the following words.
const (
	AuthorizationFile = "authorization"
	// AuthorizationPlain says that BuildKit can send it as it is.
	AuthorizationPlain = "plain"
	// AuthorizationLine says that there is the end of a line, which must go.
	AuthorizationLine = "line"
)

// Exit codes of the part beside 1, after which another attempt may do better.
const (
	// FetchRefused says that the server does not send the file.
	FetchRefused = 44
	// FetchOther says that the file is another one than the checksum's.
	FetchOther = 45
)

// fetchProgram is run by the build root's Python.
//
//go:embed fetch.py
var fetchProgram []byte

// fetchJob is what fetch.py reads; see there.
type fetchJob struct {
	URL      string `json:"url"`
	Output   string `json:"output"`
	CA       string `json:"cacert,omitempty"`
	Cert     string `json:"cert,omitempty"`
	Key      string `json:"key,omitempty"`
	Insecure bool   `json:"insecure,omitempty"`
	// Authorization is the header of that name.
	Authorization string `json:"authorization,omitempty"`
}

// maxCertificate in bytes bounds a secret that a download needs: a bundle of all
// authorities has a quarter of it.
const maxCertificate = 1 << 20

// lookAtSecrets is the part org.osbuildkit.fetch.secrets: it says early that a
// secret is not what a download needs. That one is missing, BuildKit says.
func lookAtSecrets(_ context.Context, in *module.Input) error {
	for _, s := range [][2]string{{SecretCA, "CERTIFICATE"}, {SecretCertificate, "CERTIFICATE"}, {SecretKey, "PRIVATE KEY"}} {
		if in.Secrets[s[0]] == "" {
			continue
		}
		data, err := expand.ReadFile(in.Secrets[s[0]], maxCertificate)
		if missing(err) {
			continue
		}
		if err != nil {
			return err
		}
		if !bytes.Contains(data, []byte(s[1]+"-----")) {
			return fmt.Errorf("the secret that is given as %q is not a %s in PEM form", s[0], strings.ToLower(s[1]))
		}
	}
	return lookAtAuthorization(in)
}

// lookAtAuthorization writes whether BuildKit can send the credentials as they
// are. A build whose downloads are all in the cache needs none.
func lookAtAuthorization(in *module.Input) error {
	file := in.Secrets[SecretAuthorization]
	if file == "" {
		return nil
	}
	word := AuthorizationPlain
	value, err := readAuthorization(in)
	if err == nil {
		var st fs.FileInfo
		if st, err = os.Stat(file); err == nil && st.Size() != int64(len(value)) {
			word = AuthorizationLine
		}
	}
	if err != nil && !missing(err) {
		return err
	}
	return os.WriteFile(filepath.Join(in.OutputDir, AuthorizationFile), []byte(word), 0o644)
}

// readAuthorization returns the credentials without the end of a line.
func readAuthorization(in *module.Input) (string, error) {
	if _, err := os.Stat(in.Secrets[SecretAuthorization]); err != nil {
		return "", err
	}
	value, err := in.ReadSecret(SecretAuthorization)
	if err != nil {
		return "", fmt.Errorf("the secret with the credentials: %w", err)
	}
	if bytes.ContainsFunc(value, func(r rune) bool { return r < ' ' && r != '\t' || r == 0x7f }) {
		return "", errors.New("the secret with the credentials is no header of HTTP: it must be one line of text, such as \"Basic b3Nh…\"")
	}
	return string(value), nil
}

// fetchFile is the part org.osbuildkit.fetch.
func fetchFile(ctx context.Context, in *module.Input) error {
	var o FetchOptions
	if err := in.DecodeOptions(&o); err != nil {
		return err
	}
	err := o.fetch(ctx, in)
	if !o.Report || ctx.Err() != nil || in.OutputDir == "" || o.File != filepath.Base(o.File) {
		return err
	}
	var report []byte
	if err != nil {
		in.Logf("%v", err)
		code := module.ExitCode(1)
		errors.As(err, &code)
		var encodeErr error
		if report, encodeErr = json.Marshal(FetchReport{Code: int(code), Text: err.Error()}); encodeErr != nil {
			return encodeErr
		}
	}
	return os.WriteFile(filepath.Join(in.OutputDir, o.File+ReportSuffix), report, 0o644)
}

func (o *FetchOptions) fetch(ctx context.Context, in *module.Input) error {
	open := in.Secrets[SecretAuthorization] != "" && strings.HasPrefix(o.URL, "http://")
	if !open && !strings.HasPrefix(o.URL, "https://") || strings.ContainsAny(o.URL, "\r\n\"\\") {
		return fmt.Errorf("%.200q is no https address", o.URL)
	}
	if in.OutputDir == "" || o.File == "" || o.File != filepath.Base(o.File) || o.File == ".." {
		return errors.New("the contract names no \"output_dir\", or no plain name of a file")
	}
	job := fetchJob{URL: o.URL, Output: filepath.Join(in.OutputDir, o.File), Insecure: o.Insecure}
	for name, to := range map[string]*string{SecretCA: &job.CA, SecretCertificate: &job.Cert, SecretKey: &job.Key} {
		if _, err := os.Stat(in.Secrets[name]); err == nil {
			*to = in.Secrets[name]
		}
	}
	if in.Secrets[SecretAuthorization] != "" {
		var err error
		if job.Authorization, err = readAuthorization(in); err != nil {
			return err
		}
	}
	root, err := openRPMRoot(in.BuildRoot)
	if err != nil {
		return err
	}
	defer root.close()
	run := curlFetch
	if _, ok := root.find("/usr/bin/curl"); !ok {
		run = pythonFetch
	}
	if err := run(ctx, in, root, job); err != nil {
		return err
	}
	return checkFetched(job.Output, o.Checksum)
}

// fetchError is a failure with an exit code of its own.
type fetchError struct {
	text string
	code module.ExitCode
}

// Error says what is wrong.
func (e *fetchError) Error() string { return e.text }

// Unwrap returns the exit code.
func (e *fetchError) Unwrap() error { return e.code }

// errRefused is a failure that another attempt does not change.
func errRefused(text string) error { return &fetchError{text, FetchRefused} }

// pythonFetch downloads with the Python that dnf is written in, or another.
func pythonFetch(ctx context.Context, in *module.Input, root *rpmRoot, job fetchJob) error {
	python, err := root.python()
	if err != nil {
		var ok bool
		if python, ok = root.find("/usr/bin/python3", "/usr/libexec/platform-python"); !ok {
			return errRefused("a file that needs a client certificate, or credentials that end in a line end, is fetched with curl or Python 3, and the build root has neither: " +
				"install one of the packages \"curl\" and \"python3\" there, or take the line end off the credentials")
		}
	}
	data, err := json.Marshal(job)
	if err != nil {
		return err
	}
	return fetchWith(ctx, in, program{argv: []string{filepath.Join(root.dir, python), "-I", "-c", string(fetchProgram)}, stdin: data, rpm: true}, FetchRefused)
}

// curlFailed is curl's exit code where the server answers with an error.
const curlFailed = 22

// curlFetch downloads with curl, whose arguments others could see.
func curlFetch(ctx context.Context, in *module.Input, root *rpmRoot, job fetchJob) error {
	var b strings.Builder
	b.WriteString("fail\nsilent\nshow-error\nlocation\nmax-redirs = 10\nconnect-timeout = 60\nspeed-time = 60\n")
	// What was asked for in secret is not sent in the open.
	protocols := "=https"
	if strings.HasPrefix(job.URL, "http://") {
		protocols = "=http,https"
	}
	fmt.Fprintf(&b, "proto = \"%s\"\n", protocols)
	if job.Authorization != "" {
		// curl leaves it out where it is sent to another server.
		fmt.Fprintf(&b, "header = \"Authorization: %s\"\n", strings.NewReplacer(`\`, `\\`, `"`, `\"`, "\t", `\t`).Replace(job.Authorization))
	}
	fmt.Fprintf(&b, "url = \"%s\"\noutput = \"%s\"\n", job.URL, job.Output)
	for _, o := range [][2]string{{"cacert", job.CA}, {"cert", job.Cert}, {"key", job.Key}} {
		if o[1] != "" {
			fmt.Fprintf(&b, "%s = \"%s\"\n", o[0], o[1])
		}
	}
	if job.Insecure {
		b.WriteString("insecure\n")
	}
	// -q comes first, so that no configuration of the build root is read.
	return fetchWith(ctx, in, program{argv: []string{filepath.Join(root.dir, "/usr/bin/curl"), "-q", "--config", "-"}, stdin: []byte(b.String()), rpm: true}, curlFailed)
}

// fetchWith runs a program whose exit code refused says that the server will
// not send the file.
func fetchWith(ctx context.Context, in *module.Input, p program, refused int) error {
	// What it prints is the error, which is shown once; the program is nobody's
	// concern.
	silent := *in
	silent.Log = nil
	_, err := run(ctx, &silent, p)
	var failed *command.Error
	if !errors.As(err, &failed) {
		return err
	}
	out := strings.TrimSpace(failed.Output)
	if out == "" {
		out = failed.Err.Error()
	}
	if command.ExitCode(err) == refused {
		return errRefused(out)
	}
	return errors.New(out)
}

// checkFetched reports that a file is not the one that the checksum says.
func checkFetched(file, checksum string) error {
	if checksum == "" {
		return nil
	}
	kind, want, _ := strings.Cut(checksum, ":")
	if rpmHashes[kind] == nil {
		return fmt.Errorf("%.200q is no checksum of a known kind", checksum)
	}
	f, err := os.Open(file)
	if err != nil {
		return err
	}
	defer f.Close()
	h := rpmHashes[kind]()
	if _, err := io.Copy(h, f); err != nil {
		return err
	}
	if got := hex.EncodeToString(h.Sum(nil)); got != want {
		return &fetchError{fmt.Sprintf("the file that was downloaded has the checksum %s:%s, not %s", kind, got, checksum), FetchOther}
	}
	return nil
}
