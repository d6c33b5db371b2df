package stages

import (
	"errors"
	"fmt"
	"io/fs"
	"math"
	"strconv"
	"strings"

	"github.com/osbuildkit/osbuildkit/internal/unix"
	"github.com/osbuildkit/osbuildkit/ledger"
	"github.com/osbuildkit/osbuildkit/tree"
)

// idTables knows the users and groups of a tree.
type idTables struct{ passwd, groups *table }

func readIDs(t *tree.Root) (*idTables, error) {
	passwd, err := readTable(t, "etc/passwd", 7)
	if err != nil {
		return nil, err
	}
	groups, err := readTable(t, "etc/group", 4)
	return &idTables{passwd, groups}, err
}

func (ids *idTables) user(name string) (int, error) { return lookupID(ids.passwd, "user", name) }

func (ids *idTables) group(name string) (int, error) { return lookupID(ids.groups, "group", name) }

func lookupID(tab *table, what, name string) (int, error) {
	text := name
	if !allDigits.MatchString(name) {
		line := tab.find(name)
		if line == nil {
			return 0, fmt.Errorf("the tree has no %s %s: name one of /%s, or give a number", what, quote(name), tab.file)
		}
		text = line[2]
	}
	id, err := strconv.ParseUint(text, 10, 32)
	if err != nil || id > maxID || id > math.MaxInt {
		return 0, fmt.Errorf("the %s %s has the number %s, which is none", what, quote(name), quote(text))
	}
	return int(id), nil
}

// unixMode returns the twelve bits of a mode.
func unixMode(m fs.FileMode) uint32 {
	bits := uint32(m.Perm())
	for i, b := range []fs.FileMode{fs.ModeSticky, fs.ModeSetgid, fs.ModeSetuid} {
		if m&b != 0 {
			bits |= 0o1000 << i
		}
	}
	return bits
}

// fileMode is the other way round.
func fileMode(bits uint32) fs.FileMode {
	m := fs.FileMode(bits & 0o777)
	for i, b := range []fs.FileMode{fs.ModeSticky, fs.ModeSetgid, fs.ModeSetuid} {
		if bits&(0o1000<<i) != 0 {
			m |= b
		}
	}
	return m
}

// applyToTree changes what stands on the file itself, and returns the mode
// that it has then.
func (c *attributeChange) applyToTree(t *tree.Root, st fs.FileInfo) (uint32, error) {
	mode := unixMode(st.Mode())
	full, err := t.Path(c.rel, false)
	if err != nil {
		return 0, err
	}
	chown := false
	if sys, ok := st.Sys().(*unix.SysStat); ok {
		chown = c.uid >= 0 && uint32(c.uid) != sys.Uid || c.gid >= 0 && uint32(c.gid) != sys.Gid
	}
	// A new owner takes set-id bits and capabilities away, which nobody asked for.
	var caps []byte
	if chown {
		if st.Mode().IsRegular() {
			if caps, err = getCapability(full); err != nil {
				return 0, err
			}
		}
		if err := t.Lchown(c.rel, c.uid, c.gid); err != nil {
			return 0, err
		}
	}
	if st.Mode()&fs.ModeSymlink != 0 {
		return mode, nil
	}
	want := mode
	if c.f.Mode != "" {
		if want, err = parseMode(c.f.Mode); err != nil {
			return 0, err
		}
	}
	if want != mode || chown && mode&0o6000 != 0 {
		if err := t.Chmod(c.rel, fileMode(want)); err != nil {
			return 0, err
		}
	}
	if c.f.Capabilities != nil {
		caps, err = parseCapabilities(*c.f.Capabilities)
		if err != nil {
			return 0, err
		}
		if caps == nil {
			err := unix.Lremovexattr(full, ledger.Capability)
			if err != nil && !errors.Is(err, unix.ENODATA) && !errors.Is(err, unix.ENOTSUP) {
				return 0, fmt.Errorf("removing the capabilities: %w", err)
			}
		}
	}
	if caps != nil {
		if err := unix.Lsetxattr(full, ledger.Capability, caps, 0); err != nil {
			return 0, fmt.Errorf("setting the capabilities: %w", err)
		}
	}
	return want, nil
}

func getCapability(full string) ([]byte, error) {
	buf := make([]byte, 64)
	n, err := unix.Lgetxattr(full, ledger.Capability, buf)
	if errors.Is(err, unix.ENODATA) || errors.Is(err, unix.ENOTSUP) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("reading the capabilities: %w", err)
	}
	return buf[:n], nil
}

// capabilityNames are the capabilities in the order of their numbers, from
// linux/capability.h.
var capabilityNames = strings.Fields(`chown dac_override dac_read_search fowner fsetid kill setgid setuid setpcap
	linux_immutable net_bind_service net_broadcast net_admin net_raw ipc_lock ipc_owner sys_module sys_rawio sys_chroot
	sys_ptrace sys_pacct sys_admin sys_boot sys_nice sys_resource sys_time sys_tty_config mknod lease audit_write
	audit_control setfcap mac_override mac_admin syslog wake_alarm block_suspend audit_read perfmon bpf checkpoint_restore`)

// parseCapabilities turns the text of capabilities, as cap_from_text(3)
// describes it, into the value of the attribute. It is nil if there are none.
func parseCapabilities(text string) ([]byte, error) {
	var effective, inheritable, permitted uint64
	for _, clause := range strings.Fields(text) {
		at := strings.IndexAny(clause, "=+-")
		if at < 0 {
			return nil, fmt.Errorf("%s: say what is given, as in cap_net_raw+ep", quote(clause))
		}
		caps, err := capabilitySet(clause[:at])
		if err != nil {
			return nil, err
		}
		if clause[:at] == "" && clause[at] != '=' {
			return nil, fmt.Errorf("%s: name capabilities before %c", quote(clause), clause[at])
		}
		action := byte(0)
		for i := at; i < len(clause); i++ {
			var set *uint64
			switch clause[i] {
			case '=':
				effective, inheritable, permitted = effective&^caps, inheritable&^caps, permitted&^caps
				action = '+'
				continue
			case '+', '-':
				action = clause[i]
				continue
			case 'e':
				set = &effective
			case 'i':
				set = &inheritable
			case 'p':
				set = &permitted
			default:
				return nil, fmt.Errorf("%s: after the operator come the letters e, i and p", quote(clause))
			}
			if action == '-' {
				*set &^= caps
			} else {
				*set |= caps
			}
		}
	}
	all := permitted | inheritable
	if effective != 0 && effective != all {
		return nil, errors.New("a file's capabilities are all effective or none is: give e to all that have p or i")
	}
	if all == 0 {
		return nil, nil
	}
	const revision2, effectiveFlag = 0x02000000, 1
	head := uint32(revision2)
	if effective != 0 {
		head |= effectiveFlag
	}
	out := le32(nil, head)
	for _, half := range []int{0, 32} {
		out = le32(le32(out, uint32(permitted>>half)), uint32(inheritable>>half))
	}
	return out, nil
}

func capabilitySet(list string) (uint64, error) {
	all := uint64(1)<<len(capabilityNames) - 1
	if list == "" || strings.EqualFold(list, "all") {
		return all, nil
	}
	set := uint64(0)
names:
	for _, name := range strings.Split(list, ",") {
		for i, known := range capabilityNames {
			if strings.EqualFold(name, "cap_"+known) {
				set |= 1 << i
				continue names
			}
		}
		return 0, fmt.Errorf("there is no capability %s", quote(name))
	}
	return set, nil
}

func le32(out []byte, n uint32) []byte {
	return append(out, byte(n), byte(n>>8), byte(n>>16), byte(n>>24))
}
