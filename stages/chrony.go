package stages

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/osbuildkit/osbuildkit/module"
	"github.com/osbuildkit/osbuildkit/tree"
)

// ChronyOptions are the options of org.osbuild.chrony. At least one
// option must be given.
type ChronyOptions struct {
	// The time servers, by name or address. Each is asked several times at the
	// start (iburst), so that the clock is set soon.
	Timeservers []string `json:"timeservers,omitempty"`
	// Time servers with settings of their own.
	Servers []ChronyServer `json:"servers,omitempty"`
	// The time zone, such as right/UTC, from which leap seconds are taken. An
	// empty text removes the setting that the tree has.
	LeapsecTZ *string `json:"leapsectz,omitempty"`
	// Clocks of the machine itself, such as that of a hypervisor.
	Refclocks []ChronyRefclock `json:"refclocks,omitempty"`
}

// ChronyServer is a time server.
type ChronyServer struct {
	// The name or address of the server.
	Hostname string `json:"hostname" jsonschema:"required,minLength=1"`
	// The shortest time between two questions, in seconds as a power of two.
	Minpoll *int `json:"minpoll,omitempty" jsonschema:"minimum=-6,maximum=24"`
	// The longest time between two questions, in seconds as a power of two.
	Maxpoll *int `json:"maxpoll,omitempty" jsonschema:"minimum=-6,maximum=24"`
	// Whether the server is asked several times at the start.
	Iburst *bool `json:"iburst,omitempty" jsonschema:"default=true"`
	// Whether the server is preferred to those that are not.
	Prefer bool `json:"prefer,omitempty" jsonschema:"default=false"`
}

// ChronyRefclock is a clock of the machine itself.
type ChronyRefclock struct {
	// What kind of clock it is, and where.
	Driver ChronyDriver `json:"driver" jsonschema:"required"`
	// The time between two readings, in seconds as a power of two.
	Poll *int `json:"poll,omitempty"`
	// The time between two readings by the driver, in seconds as a power of two.
	Dpoll *int `json:"dpoll,omitempty"`
	// How many seconds the clock is off.
	Offset *json.Number `json:"offset,omitempty" jsonschema:"type=number"`
}

// ChronyDriver is the driver of a clock. What may be given beside the name
// depends on it: PPS has device and clear; SHM has segment and perm; SOCK has
// path; PHC has path, nocrossts, extpps, pin, channel and clear.
type ChronyDriver struct {
	// The name of the driver.
	Name string `json:"name" jsonschema:"required,enum=PPS,enum=SHM,enum=SOCK,enum=PHC"`
	// PPS: the device, such as /dev/pps0.
	Device *string `json:"device,omitempty" jsonschema:"pattern=^/"`
	// PPS and PHC: whether the other edge of the signal counts.
	Clear *bool `json:"clear,omitempty" jsonschema:"default=false"`
	// SHM: the number of the shared memory segment.
	Segment *int `json:"segment,omitempty" jsonschema:"minimum=0"`
	// SHM: the permissions of the segment as octal digits.
	Perm *string `json:"perm,omitempty" jsonschema:"pattern=^[0-7]{4}$"`
	// SOCK: the socket; PHC: the device, such as /dev/ptp0.
	Path *string `json:"path,omitempty" jsonschema:"pattern=^/"`
	// PHC: whether precise cross timestamps are not used.
	NoCrossTS *bool `json:"nocrossts,omitempty" jsonschema:"default=false"`
	// PHC: whether external timestamps are used.
	ExtPPS *bool `json:"extpps,omitempty" jsonschema:"default=false"`
	// PHC: the number of the pin for external timestamps.
	Pin *int `json:"pin,omitempty" jsonschema:"minimum=0"`
	// PHC: the channel for external timestamps.
	Channel *int `json:"channel,omitempty" jsonschema:"minimum=0"`
}

// chronyStage edits etc/chrony.conf: the lines that begin with server, pool or
// peer and a space go, and new ones are put before the rest: clocks, leap
// seconds, servers, timeservers. As with osbuild the old sources of time go
// even if no new ones are given; the log says so then. In a tree that has
// Debian's etc/chrony/chrony.conf instead, that is edited; osbuild fails there.
var chronyStage = module.Module{
	Name:    "org.osbuild.chrony",
	Kind:    module.Stage,
	Sandbox: module.Edit,
	Group:   module.GroupStages,
	Summary: "configure where chrony gets the time from",
	Options: optionsOf[ChronyOptions],
	Check:   checkOf[ChronyOptions],
	Run:     runOf(runChrony),
}

func (o *ChronyOptions) check() []module.Problem {
	var problems []module.Problem
	bad := func(pointer, format string, args ...any) {
		problems = append(problems, module.Problem{Pointer: pointer, Message: fmt.Sprintf(format, args...)})
	}
	if o.Timeservers == nil && o.Servers == nil && o.LeapsecTZ == nil && o.Refclocks == nil {
		bad("", "nothing to do: give \"timeservers\", \"servers\", \"leapsectz\" or \"refclocks\"")
	}
	for i, s := range o.Timeservers {
		if !oneWord(s) {
			bad(fmt.Sprintf("/timeservers/%d", i), "%s is not the name of a server", quote(s))
		}
	}
	for i, s := range o.Servers {
		at := fmt.Sprintf("/servers/%d", i)
		if !oneWord(s.Hostname) {
			bad(at+"/hostname", "%s is not the name of a server", quote(s.Hostname))
		}
		polls := []struct {
			key string
			v   *int
		}{{"/minpoll", s.Minpoll}, {"/maxpoll", s.Maxpoll}}
		for _, p := range polls {
			if p.v != nil && (*p.v < -6 || *p.v > 24) {
				bad(at+p.key, "%d is not between -6 and 24", *p.v)
			}
		}
		if s.Minpoll != nil && s.Maxpoll != nil && *s.Minpoll > *s.Maxpoll {
			bad(at+"/minpoll", "it is longer than \"maxpoll\"")
		}
	}
	if tz := o.LeapsecTZ; tz != nil && *tz != "" && !oneWord(*tz) {
		bad("/leapsectz", "%s is not the name of a time zone", quote(*tz))
	}
	for i := range o.Refclocks {
		problems = append(problems, o.Refclocks[i].Driver.check(fmt.Sprintf("/refclocks/%d/driver", i))...)
	}
	return sortProblems(problems)
}

// oneWord reports whether a text stands for one word in a file of lines.
func oneWord(s string) bool {
	return s != "" && !hasControl(s) && !strings.ContainsAny(s, " #!;%")
}

// chronyDrivers lists what each driver takes: the key that it needs first.
var chronyDrivers = map[string][]string{
	"PPS":  {"device", "clear"},
	"SHM":  {"segment", "perm"},
	"SOCK": {"path"},
	"PHC":  {"path", "nocrossts", "extpps", "pin", "channel", "clear"},
}

func (d *ChronyDriver) check(at string) []module.Problem {
	var problems []module.Problem
	bad := func(key, format string, args ...any) {
		problems = append(problems, module.Problem{Pointer: at + key, Message: fmt.Sprintf(format, args...)})
	}
	takes, ok := chronyDrivers[d.Name]
	if !ok {
		bad("/name", "%s must be PPS, SHM, SOCK or PHC", quote(d.Name))
		return problems
	}
	given := map[string]bool{
		"device": d.Device != nil, "clear": d.Clear != nil, "segment": d.Segment != nil, "perm": d.Perm != nil, "path": d.Path != nil,
		"nocrossts": d.NoCrossTS != nil, "extpps": d.ExtPPS != nil, "pin": d.Pin != nil, "channel": d.Channel != nil,
	}
	if !given[takes[0]] {
		bad("", "the driver %s needs %q", d.Name, takes[0])
	}
	for key, is := range given {
		if is && !slices.Contains(takes, key) {
			bad("/"+key, "the driver %s does not take %q", d.Name, key)
		}
	}
	for key, s := range map[string]*string{"/device": d.Device, "/path": d.Path} {
		// A colon ends the path for chrony.
		if s != nil && (!strings.HasPrefix(*s, "/") || !oneWord(*s) || strings.Contains(*s, ":") || slices.Contains(strings.Split(*s, "/"), "..")) {
			bad(key, "%s is not an absolute path", quote(*s))
		}
	}
	if d.Perm != nil && (len(*d.Perm) != 4 || strings.Trim(*d.Perm, "01234567") != "") {
		bad("/perm", "%s is not a mode of four octal digits", quote(*d.Perm))
	}
	for key, n := range map[string]*int{"/segment": d.Segment, "/pin": d.Pin, "/channel": d.Channel} {
		if n != nil && *n < 0 {
			bad(key, "%d is negative", *n)
		}
	}
	return sortProblems(problems)
}

// line returns the line of a clock in chrony's file.
func (c *ChronyRefclock) line() string {
	d := &c.Driver
	var b strings.Builder
	b.WriteString("refclock " + d.Name + " ")
	for _, s := range []*string{d.Device, d.Path} {
		if s != nil {
			b.WriteString(*s)
		}
	}
	if d.Segment != nil {
		fmt.Fprint(&b, *d.Segment)
	}
	if d.Perm != nil {
		b.WriteString(":perm=" + *d.Perm)
	}
	flag := func(key string, v *bool) {
		if v != nil && *v {
			b.WriteString(":" + key)
		}
	}
	number := func(format string, v *int) {
		if v != nil {
			fmt.Fprintf(&b, format, *v)
		}
	}
	flag("nocrossts", d.NoCrossTS)
	flag("extpps", d.ExtPPS)
	number(":pin=%d", d.Pin)
	number(":channel=%d", d.Channel)
	flag("clear", d.Clear)
	number(" poll %d", c.Poll)
	number(" dpoll %d", c.Dpoll)
	if c.Offset != nil {
		b.WriteString(" offset " + c.Offset.String())
	}
	return b.String()
}

// line returns the line of a server in chrony's file.
func (s *ChronyServer) line() string {
	line := "server " + s.Hostname
	if s.Prefer {
		line += " prefer"
	}
	if s.Iburst == nil || *s.Iburst {
		line += " iburst"
	}
	if s.Minpoll != nil {
		line += fmt.Sprintf(" minpoll %d", *s.Minpoll)
	}
	if s.Maxpoll != nil {
		line += fmt.Sprintf(" maxpoll %d", *s.Maxpoll)
	}
	return line
}

// edit returns the new text of chrony's file and how many sources of time it
// has lost.
func (o *ChronyOptions) edit(text string) (edited string, lost int) {
	var lines []string
	for i := range o.Refclocks {
		lines = append(lines, o.Refclocks[i].line())
	}
	if o.LeapsecTZ != nil && *o.LeapsecTZ != "" {
		lines = append(lines, "leapsectz "+*o.LeapsecTZ)
	}
	for i := range o.Servers {
		lines = append(lines, o.Servers[i].line())
	}
	for _, s := range o.Timeservers {
		lines = append(lines, "server "+s+" iburst")
	}
	for _, line := range strings.Split(text, "\n") {
		switch key, _, _ := strings.Cut(line, " "); {
		case len(key) == len(line):
		case key == "server" || key == "pool" || key == "peer":
			lost++
			continue
		case key == "leapsectz" && o.LeapsecTZ != nil:
			continue
		}
		lines = append(lines, line)
	}
	return strings.Join(lines, "\n"), lost
}

func runChrony(in *module.Input, t *tree.Root, o *ChronyOptions) error {
	const fedora, debian = "etc/chrony.conf", "etc/chrony/chrony.conf"
	name := fedora
	data, ok, err := readOptional(t, name)
	if err == nil && !ok {
		name = debian
		data, ok, err = readOptional(t, name)
	}
	if err != nil {
		return err
	}
	if !ok {
		return errors.New("the tree has no /" + fedora + ": install the package chrony in an earlier stage")
	}
	text, lost := o.edit(string(data))
	if lost > 0 && len(o.Timeservers)+len(o.Servers)+len(o.Refclocks) == 0 {
		in.Logf("/%s: its %d sources of time are removed and no others are given", name, lost)
	}
	return writeFile(in, t, name, []byte(text), 0o644)
}
