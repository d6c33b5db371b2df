package assemblers

import (
	"errors"
	"fmt"
	"io/fs"
	"path"
	"regexp"
	"strings"

	"github.com/osbuildkit/osbuildkit/module"
	"github.com/osbuildkit/osbuildkit/tree"
)

// laterKernels is how a system with systemd-boot makes the entries of kernels
// that it installs itself: by kernel-install(8), which does nothing unless it is
// told the layout of the EFI system partition. The disk is the first that knows
// it, so the files are made with the disk, where the tree has none.
type laterKernels struct {
	// token is what names of entries begin with.
	token string
	// layout is kernel-install's: "uki" or "bls".
	layout string
	// files are those to be made in /etc/kernel, in their order.
	files []laterFile
	// notes are for the log.
	notes []string
}

type laterFile struct{ name, text string }

const kernelDir = "etc/kernel"

var (
	entryToken    = regexp.MustCompile(`^[A-Za-z0-9._-]+$`)
	installLayout = regexp.MustCompile(`(?m)^[ \t]*layout[ \t]*=[ \t]*([^\s#]+)`)
)

// findLaterKernels decides how kernels are installed later, without a change to
// what the tree says of it.
func findLaterKernels(t *tree.Root, id, cmdline string) (*laterKernels, error) {
	l := &laterKernels{token: id}
	// A unified image needs a program that makes one, and the stub.
	var err error
	if l.layout, err = preferredLayout(t); err != nil {
		return nil, err
	}
	own := func(name, text string) (string, error) {
		data, err := t.ReadText(path.Join(kernelDir, name), tree.MaxEntry)
		if errors.Is(err, fs.ErrNotExist) {
			l.files = append(l.files, laterFile{name, text})
			return "", nil
		}
		return string(data), err
	}
	conf, err := own("install.conf", "layout="+l.layout+"\n")
	if err != nil {
		return nil, err
	}
	if m := installLayout.FindStringSubmatch(conf); m != nil {
		l.layout = m[1]
	} else if conf != "" {
		l.note("warning: /%s/install.conf has no layout: kernel-install makes no entry for a kernel that the system installs later; add layout=bls, or leave the file out", kernelDir)
	}
	token, err := own("entry-token", l.token+"\n")
	if err != nil {
		return nil, err
	}
	if token = strings.TrimSpace(token); token != "" {
		if !entryToken.MatchString(token) {
			return nil, fmt.Errorf("/%s/entry-token holds %.60q, which no name of a file can begin with: write a word of letters, digits, '.', '_' and '-'", kernelDir, token)
		}
		l.token = token
	}
	line, err := own("cmdline", cmdline+"\n")
	if err != nil {
		return nil, err
	}
	if line = strings.TrimSpace(line); line != "" && line != cmdline {
		l.note("kernels that the system installs later get the command line %q of /%s/cmdline, and this one gets %q", line, kernelDir, cmdline)
	}
	return l, l.checkHooks(t)
}

func (l *laterKernels) note(format string, args ...any) {
	l.notes = append(l.notes, fmt.Sprintf(format, args...))
}

// preferredLayout is "uki" for a tree that can make unified kernel images.
func preferredLayout(t *tree.Root) (string, error) {
	for _, names := range [][]string{{"usr/lib/kernel/install.d/60-ukify.install"}, {"usr/bin/ukify"}, {efiDir + "/linuxx64.efi.stub", efiDir + "/linuxaa64.efi.stub"}} {
		found := false
		for _, name := range names {
			ok, err := t.Exists(name)
			if err != nil {
				return "", fmt.Errorf("looking for what makes unified kernel images: %w", err)
			}
			found = found || ok
		}
		if !found {
			return "bls", nil
		}
	}
	return "uki", nil
}

// checkHooks says if nothing in the tree calls kernel-install for a new kernel.
func (l *laterKernels) checkHooks(t *tree.Root) error {
	for _, c := range []struct{ needed, by, advice string }{
		{"usr/bin/kernel-install", "", "the tree has no kernel-install"},
		{"etc/kernel/postinst.d/zz-systemd-boot", "var/lib/dpkg/status", "install the package systemd-boot, which has the hook for it"},
	} {
		if c.by != "" {
			if ok, err := t.Exists(c.by); err != nil || !ok {
				return err
			}
		}
		ok, err := t.Exists(c.needed)
		if err != nil {
			return err
		}
		if !ok {
			l.note("warning: a kernel that the system installs later gets no entry: %s", c.advice)
			return nil
		}
	}
	return nil
}

// loaderConf is the configuration of systemd-boot. Where later kernels get
// entries of the Boot Loader Specification, these come before the image that is
// on the disk from the start: by itself systemd-boot would go by the version of
// the system in the image, which is higher than that of any kernel.
func (l *laterKernels) loaderConf() string {
	if l.layout != "bls" {
		return "timeout 0\n"
	}
	pattern := l.token + "-*.conf"
	if strings.ToLower(pattern) != pattern {
		pattern = "*.conf"
	}
	return "timeout 0\ndefault " + pattern + "\n"
}

// put adds the files to the content of the file system that holds them.
func (l *laterKernels) put(in *module.Input, p *qemuPlan) error {
	for _, note := range l.notes {
		in.Logf("%s", note)
	}
	var names []string
	for _, f := range l.files {
		holder, name := p.holder("/" + path.Join(kernelDir, f.name))
		if holder == nil || holder.content == nil {
			return nil
		}
		if err := holder.content.Put(name, []byte(f.text), false); err != nil {
			return fmt.Errorf("telling kernel-install about the disk: %w", err)
		}
		names = append(names, f.name)
	}
	if len(names) > 0 {
		in.Logf("boot loader: %s written to /%s, so that kernel-install makes entries for kernels that the system installs later (layout %s, names %s-VERSION)", strings.Join(names, ", "), kernelDir, l.layout, l.token)
	}
	return nil
}
