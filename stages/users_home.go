package stages

import (
	"fmt"
	"io/fs"
	"path"
	"strings"

	"github.com/osbuildkit/osbuildkit/internal/unix"
	"github.com/osbuildkit/osbuildkit/module"
	"github.com/osbuildkit/osbuildkit/tree"
)

// home is the home directory of a user, and what else is to be done once the
// files of accounts are written.
type home struct {
	user     string
	dir      string
	uid, gid int64
	create   bool
	// regroup gives the files of group oldGID to the new primary group.
	regroup bool
	oldGID  int64
	mail    bool
	keys    []string
}

// maxSkel bounds the number of files in etc/skel.
const maxSkel = 10_000

func (h home) make(in *module.Input, t *tree.Root, db *accounts) error {
	exists, err := t.Exists(h.dir)
	if err != nil {
		return err
	}
	switch {
	case !exists && h.create:
		if err := h.makeDir(in, t, db); err != nil {
			return err
		}
	case exists && h.regroup:
		if err := h.changeGroup(t); err != nil {
			return err
		}
	}
	if h.mail {
		if err := h.makeMail(in, t, db); err != nil {
			return err
		}
	}
	return h.addKeys(in, t)
}

func (h home) own(t *tree.Root, name string) error {
	return t.Lchown(name, int(h.uid), int(h.gid))
}

// makeDir makes the home directory as a copy of etc/skel.
func (h home) makeDir(in *module.Input, t *tree.Root, db *accounts) error {
	mode := fs.FileMode(0o777 &^ db.number("UMASK", 0o022))
	if _, ok := db.login["HOME_MODE"]; ok {
		mode = fs.FileMode(db.number("HOME_MODE", 0o700) & 0o777)
	}
	if err := t.MkdirIn(h.dir, mode); err != nil {
		return err
	}
	// The directory itself: h.dir may be a link that led nowhere.
	own, err := t.Resolve(h.dir, true)
	if err != nil {
		return err
	}
	if err := h.own(t, own); err != nil {
		return err
	}
	skel := orDefault(db.useradd["SKEL"], "/etc/skel")
	st, err := t.Stat(skel)
	if missing(err) || err == nil && !st.IsDir() {
		return nil
	}
	if err != nil {
		return err
	}
	base, err := t.Resolve(skel, true)
	if err != nil {
		return err
	}
	if own == base || strings.HasPrefix(own+"/", base+"/") || base == "." {
		return fmt.Errorf("%s lies in %s, from which it would be copied", h.dir, skel)
	}
	count := 0
	return t.Walk(skel, func(rel string, d fs.DirEntry) error {
		if count++; count > maxSkel {
			return fmt.Errorf("%s has more than %d entries", skel, maxSkel)
		}
		return h.copySkel(in, t, rel, path.Join(own, strings.TrimPrefix(rel, base)), d)
	})
}

// copySkel copies one entry of etc/skel.
func (h home) copySkel(in *module.Input, t *tree.Root, from, to string, d fs.DirEntry) error {
	st, err := d.Info()
	if err != nil {
		return err
	}
	switch {
	case d.IsDir():
		err = t.Mkdir(to, st.Mode().Perm())
	case d.Type().IsRegular():
		var data []byte
		if data, err = t.ReadFile(from); err == nil {
			err = t.WriteFile(to, data, 0o600)
		}
		if err == nil {
			err = t.Chmod(to, st.Mode().Perm())
		}
		if err == nil {
			err = t.Chtimes(to, st.ModTime())
		}
	case d.Type() == fs.ModeSymlink:
		var target string
		if target, err = t.Readlink(from); err == nil {
			err = t.Symlink(target, to)
		}
	default:
		in.Logf("/%s is not copied: it is no file, directory or link", from)
		return nil
	}
	if err != nil {
		return err
	}
	return h.own(t, to)
}

// changeGroup gives the user's files of the old primary group to the new one.
func (h home) changeGroup(t *tree.Root) error {
	change := func(name string, st fs.FileInfo) error {
		sys, ok := st.Sys().(*unix.SysStat)
		if !ok || int64(sys.Uid) != h.uid || int64(sys.Gid) != h.oldGID {
			return nil
		}
		return t.Lchown(name, -1, int(h.gid))
	}
	rel, err := t.Resolve(h.dir, true)
	if err != nil {
		return err
	}
	st, err := t.Lstat(rel)
	if err != nil {
		return err
	}
	// As usermod: only in a home directory that is the user's own.
	if sys, ok := st.Sys().(*unix.SysStat); !ok || int64(sys.Uid) != h.uid || !st.IsDir() || rel == "." {
		return nil
	}
	if err := change(rel, st); err != nil {
		return err
	}
	return t.Walk(rel, func(name string, d fs.DirEntry) error {
		st, err := d.Info()
		if err != nil {
			return err
		}
		return change(name, st)
	})
}

// makeMail makes an empty mailbox.
func (h home) makeMail(in *module.Input, t *tree.Root, db *accounts) error {
	dir := orDefault(db.login["MAIL_DIR"], "/var/spool/mail")
	st, err := t.Stat(dir)
	if missing(err) || err == nil && !st.IsDir() {
		in.Logf("user %s gets no mailbox: there is no directory %s", h.user, dir)
		return nil
	}
	if err != nil {
		return err
	}
	box := path.Join(dir, h.user)
	if _, err := t.Lstat(box); !missing(err) {
		return err
	}
	mode, gid := fs.FileMode(0o600), h.gid
	if g, err := db.findGroup("mail"); err == nil {
		mode, gid = 0o660, g
	}
	if err := writeFile(in, t, box, nil, mode); err != nil {
		return err
	}
	if err := t.Lchown(box, int(h.uid), int(gid)); err != nil {
		return err
	}
	return t.Chmod(box, mode)
}

// addKeys adds keys to .ssh/authorized_keys.
func (h home) addKeys(in *module.Input, t *tree.Root) error {
	if len(h.keys) == 0 {
		return nil
	}
	dir := path.Join(h.dir, ".ssh")
	file := path.Join(dir, "authorized_keys")
	if ok, err := t.Exists(dir); err != nil {
		return err
	} else if !ok {
		if err := t.MkdirIn(dir, 0o700); err != nil {
			return err
		}
		own, err := t.Resolve(dir, true)
		if err != nil {
			return err
		}
		if err := h.own(t, own); err != nil {
			return err
		}
	}
	data, _, err := readOptional(t, file)
	if err != nil {
		return err
	}
	text := string(data)
	if text != "" && !strings.HasSuffix(text, "\n") {
		text += "\n"
	}
	for _, k := range h.keys {
		if !strings.Contains("\n"+text, "\n"+k+"\n") {
			text += k + "\n"
		}
	}
	if err := writeFile(in, t, file, []byte(text), 0o600); err != nil {
		return err
	}
	own, err := t.Resolve(file, true)
	if err != nil {
		return err
	}
	if err := h.own(t, own); err != nil {
		return err
	}
	return t.Chmod(own, 0o600)
}
