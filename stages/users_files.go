package stages

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/osbuildkit/osbuildkit/module"
	"github.com/osbuildkit/osbuildkit/tree"
)

// table is one of the files of accounts: lines of fields separated by colons.
// Lines that are not of that form, such as those of NIS, are kept as they are.
type table struct {
	file    string
	fields  int
	lines   [][]string
	present bool
	before  string
}

func readTable(t *tree.Root, file string, fields int) (*table, error) {
	data, ok, err := readOptional(t, file)
	if err != nil {
		return nil, err
	}
	tab := &table{file: file, fields: fields, present: ok, before: string(data)}
	for _, line := range strings.Split(strings.TrimSuffix(string(data), "\n"), "\n") {
		if line != "" || len(tab.lines) > 0 {
			tab.lines = append(tab.lines, strings.Split(line, ":"))
		}
	}
	return tab, nil
}

// find returns the fields of the line that begins with name, or nil.
func (t *table) find(name string) []string {
	for _, l := range t.lines {
		if len(l) == t.fields && l[0] == name {
			return l
		}
	}
	return nil
}

// entries returns the lines that have the form of the file.
func (t *table) entries() [][]string {
	var out [][]string
	for _, l := range t.lines {
		if len(l) == t.fields && l[0] != "" && !strings.ContainsAny(l[0][:1], "+-#") {
			out = append(out, l)
		}
	}
	return out
}

// add adds a line before those of NIS at the end, and returns it.
func (t *table) add(fields ...string) []string {
	at := len(t.lines)
	for at > 0 && (strings.HasPrefix(t.lines[at-1][0], "+") || strings.HasPrefix(t.lines[at-1][0], "-")) {
		at--
	}
	t.lines = slices.Insert(t.lines, at, fields)
	return t.lines[at]
}

// check reports a field that would become two, or a line of its own. Options have
// been looked at; the rest comes from settings of the tree.
func (t *table) check() error {
	for _, l := range t.lines {
		for _, field := range l {
			if strings.ContainsAny(field, ":\n") {
				return fmt.Errorf("%s cannot stand in a field of /%s: look at HOME and SHELL in /etc/default/useradd", quote(field), t.file)
			}
		}
	}
	return nil
}

func (t *table) text() string {
	var b strings.Builder
	for _, l := range t.lines {
		b.WriteString(strings.Join(l, ":") + "\n")
	}
	return b.String()
}

// accounts is all that is known about the users of a tree.
type accounts struct {
	passwd, shadow, group, gshadow, subuid, subgid *table
	// login and useradd are etc/login.defs and etc/default/useradd.
	login, useradd map[string]string
	epoch          int64
	// reserved are numbers that the options give to users: no other user gets
	// one of them.
	reserved map[int64]bool
}

// openAccounts reads the files of accounts. Those of must have to exist.
func openAccounts(t *tree.Root, epoch int64, must ...string) (*accounts, error) {
	db := &accounts{epoch: epoch}
	for _, f := range []struct {
		tab    **table
		name   string
		fields int
	}{
		{&db.passwd, "etc/passwd", 7},
		{&db.shadow, "etc/shadow", 9},
		{&db.group, "etc/group", 4},
		{&db.gshadow, "etc/gshadow", 4},
		{&db.subuid, "etc/subuid", 3},
		{&db.subgid, "etc/subgid", 3},
	} {
		tab, err := readTable(t, f.name, f.fields)
		if err != nil {
			return nil, err
		}
		if !tab.present && slices.Contains(must, f.name) {
			return nil, fmt.Errorf("the tree has no /%s: install the packages of the base system in an earlier stage", f.name)
		}
		*f.tab = tab
	}
	var err error
	if db.login, err = readSettings(t, "etc/login.defs", " \t"); err != nil {
		return nil, err
	}
	if db.useradd, err = readSettings(t, "etc/default/useradd", "="); err != nil {
		return nil, err
	}
	return db, nil
}

// malformed reports a line for name in one of the tables that does not have
// the form of its file.
func (db *accounts) malformed(name string, tables ...*table) error {
	for _, tab := range tables {
		for i, l := range tab.lines {
			if l[0] == name && len(l) != tab.fields {
				return fmt.Errorf("line %d of /%s has %d fields, not %d", i+1, tab.file, len(l), tab.fields)
			}
		}
	}
	return nil
}

// readSettings reads a file of keys and values.
func readSettings(t *tree.Root, file, separators string) (map[string]string, error) {
	data, _, err := readOptional(t, file)
	if err != nil {
		return nil, err
	}
	out := map[string]string{}
	for _, line := range strings.Split(string(data), "\n") {
		line = strings.TrimSpace(line)
		if i := strings.IndexAny(line, separators); i > 0 && line[0] != '#' {
			out[line[:i]] = strings.Trim(strings.TrimSpace(line[i+1:]), `"`)
		}
	}
	return out, nil
}

// number returns a number of etc/login.defs, decimal, octal or hexadecimal.
func (db *accounts) number(key string, def int64) int64 {
	n, err := strconv.ParseInt(db.login[key], 0, 64)
	if err != nil || n < 0 || n > maxID {
		return def
	}
	return n
}

// age returns a field of etc/shadow that may be empty.
func (db *accounts) age(s string) string {
	if n, err := strconv.ParseInt(s, 10, 64); err == nil && n >= 0 {
		return format(n)
	}
	return ""
}

// today returns the day of the build. Day 0 would ask for a new password.
func (db *accounts) today() string {
	if d := db.epoch / (24 * 60 * 60); d > 0 {
		return format(d)
	}
	return ""
}

// freeID returns the number after the highest one in the range of etc/login.defs
// for normal users or groups, or else the lowest free one.
func (db *accounts) freeID(tab *table, kind string) (int64, error) {
	lowest, highest := db.number(kind+"_MIN", 1000), db.number(kind+"_MAX", 60000)
	used := map[int64]bool{}
	next := lowest
	for _, l := range tab.entries() {
		id, err := parseID(l[2])
		if err != nil {
			continue
		}
		used[id] = true
		if id >= next && id <= highest {
			next = id + 1
		}
	}
	taken := func(id int64) bool { return used[id] || kind == "UID" && db.reserved[id] }
	for ; next <= highest; next++ {
		if !taken(next) {
			return next, nil
		}
	}
	for id := lowest; id <= highest; id++ {
		if !taken(id) {
			return id, nil
		}
	}
	return 0, fmt.Errorf("no free number between %s_MIN %d and %s_MAX %d of /etc/login.defs", kind, lowest, kind, highest)
}

// findGroup returns the number of a group.
func (db *accounts) findGroup(ref GroupRef) (int64, error) {
	number, numeric := int64(-1), allDigits.MatchString(string(ref))
	if numeric {
		n, err := parseID(string(ref))
		if err != nil {
			return 0, err
		}
		number = n
	}
	for _, l := range db.group.entries() {
		id, err := parseID(l[2])
		if err == nil && (l[0] == string(ref) || numeric && id == number) {
			return id, nil
		}
	}
	return 0, db.noGroup(string(ref))
}

func (db *accounts) noGroup(name string) error {
	var names []string
	for _, l := range db.group.entries() {
		names = append(names, l[0])
	}
	hint := "make it in an earlier stage"
	if near := nearest(name, names, 3); len(near) > 0 {
		hint = "did you mean " + strings.Join(near, " or ") + "?"
	}
	return fmt.Errorf("there is no group %s; %s", quote(name), hint)
}

// primaryGroup returns the primary group of a new user and makes it if it is
// to have one of its own.
func (db *accounts) primaryGroup(name string, uid int64, ref *GroupRef) (int64, error) {
	if ref != nil {
		return db.findGroup(*ref)
	}
	if !strings.EqualFold(db.login["USERGROUPS_ENAB"], "yes") {
		return db.findGroup(GroupRef(orDefault(db.useradd["GROUP"], "100")))
	}
	if db.group.find(name) != nil {
		return 0, fmt.Errorf("there is a group of that name already; to put the user into it set \"gid\" to it")
	}
	lowest, highest := db.number("GID_MIN", 1000), db.number("GID_MAX", 60000)
	gid := uid
	free := uid >= lowest && uid <= highest
	for _, l := range db.group.entries() {
		free = free && l[2] != format(uid)
	}
	if !free {
		var err error
		if gid, err = db.freeID(db.group, "GID"); err != nil {
			return 0, err
		}
	}
	db.addGroup(name, gid)
	return gid, nil
}

// setGroups puts a user into groups and, with only, takes it out of all
// others.
func (db *accounts) setGroups(name string, groups []string, only bool) error {
	for _, g := range groups {
		if db.group.find(g) == nil {
			return db.noGroup(g)
		}
	}
	for _, tab := range []*table{db.group, db.gshadow} {
		for _, l := range tab.entries() {
			members := strings.FieldsFunc(l[3], func(c rune) bool { return c == ',' })
			in, want := slices.Contains(members, name), slices.Contains(groups, l[0])
			switch {
			case want && !in:
				members = append(members, name)
			case in && !want && only:
				members = slices.DeleteFunc(members, func(m string) bool { return m == name })
			default:
				continue
			}
			l[3] = strings.Join(members, ",")
		}
	}
	return nil
}

// addSubIDs gives a normal user ranges of subordinate numbers.
func (db *accounts) addSubIDs(name string, uid int64) error {
	if uid != 0 && (uid < db.number("UID_MIN", 1000) || uid > db.number("UID_MAX", 60000)) {
		return nil
	}
	for _, s := range []struct {
		tab  *table
		kind string
	}{{db.subuid, "SUB_UID"}, {db.subgid, "SUB_GID"}} {
		count := db.number(s.kind+"_COUNT", 65536)
		if !s.tab.present || count == 0 || s.tab.find(name) != nil {
			continue
		}
		start, err := freeRange(s.tab, db.number(s.kind+"_MIN", 100000), db.number(s.kind+"_MAX", 600100000), count)
		if err != nil {
			return fmt.Errorf("/%s: %w", s.tab.file, err)
		}
		s.tab.add(name, format(start), format(count))
	}
	return nil
}

// freeRange returns the start of the first gap of count numbers.
func freeRange(tab *table, lowest, highest, count int64) (int64, error) {
	type span struct{ start, end int64 }
	var spans []span
	for _, l := range tab.entries() {
		start, err1 := parseID(l[1])
		n, err2 := parseID(l[2])
		if err1 == nil && err2 == nil {
			spans = append(spans, span{start, start + n})
		}
	}
	slices.SortFunc(spans, func(a, b span) int { return int(a.start - b.start) })
	at := lowest
	for _, s := range spans {
		if s.start-at >= count {
			break
		}
		at = max(at, s.end)
	}
	if at+count-1 > highest {
		return 0, fmt.Errorf("no %d free numbers between %d and %d", count, lowest, highest)
	}
	return at, nil
}

// write writes the files that have changed, after it has seen that all can be
// written.
func (db *accounts) write(in *module.Input, t *tree.Root) error {
	var changed []*table
	for _, tab := range []*table{db.passwd, db.shadow, db.group, db.gshadow, db.subuid, db.subgid} {
		if tab.present && tab.text() != tab.before {
			if err := tab.check(); err != nil {
				return err
			}
			if err := writable(t, tab.file); err != nil {
				return err
			}
			changed = append(changed, tab)
		}
	}
	for _, tab := range changed {
		if err := writeFile(in, t, tab.file, []byte(tab.text()), 0o600); err != nil {
			return err
		}
	}
	return nil
}
