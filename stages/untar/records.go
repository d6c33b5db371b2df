package untar

import (
	"errors"
	"fmt"
	"maps"
	"strconv"
	"strings"
	"time"
)

// records are those of pax headers.
type records map[string]string

// maxRecords bounds the records that hold for all members.
const maxRecords = 1000

var errRecord = errors.New("a pax header is damaged")

// parse reads records of the form "LENGTH KEY=VALUE\n". Those that list the
// pieces of a sparse file go into sparse, as one key stands there many times.
func (rec records) parse(text string, sparse *pieces) error {
	for text != "" {
		length, rest, found := strings.Cut(text, " ")
		n, err := strconv.ParseUint(length, 10, 31)
		at := len(length) + 1
		if !found || err != nil || int(n) <= at || int(n) > len(text) || text[n-1] != '\n' {
			if strings.Trim(text, "\x00") == "" {
				return nil // what some programs fill the block with
			}
			return errRecord
		}
		key, value, found := strings.Cut(rest[:int(n)-at-1], "=")
		if !found || key == "" {
			return errRecord
		}
		text = text[n:]
		switch key {
		case "GNU.sparse.offset", "GNU.sparse.numbytes":
			if err := sparse.record(key == "GNU.sparse.offset", value); err != nil {
				return err
			}
		default:
			if rec[key] = value; len(rec) > maxRecords {
				return fmt.Errorf("a pax header has more than %d records", maxRecords)
			}
		}
	}
	return nil
}

// merged returns the records that hold for a member.
func merged(global, local records) records {
	if len(global) == 0 {
		return local
	}
	out := maps.Clone(global)
	for key := range out {
		if strings.HasPrefix(key, "GNU.sparse.") {
			delete(out, key)
		}
	}
	maps.Copy(out, local)
	return out
}

// apply puts what records say in the place of what the header says. An empty
// record says nothing.
func (rec records) apply(h *Header, size *int64) error {
	for key, set := range map[string]func(string) error{
		"path":     func(v string) error { h.Name = v; return nil },
		"linkpath": func(v string) error { h.Link = v; return nil },
		"uid":      func(v string) (err error) { h.UID, err = strconv.Atoi(v); return err },
		"gid":      func(v string) (err error) { h.GID, err = strconv.Atoi(v); return err },
		"mtime":    func(v string) (err error) { h.Time, err = parseTime(v); return err },
		"size": func(v string) (err error) {
			if *size, err = strconv.ParseInt(v, 10, 63); err == nil && *size < 0 {
				err = errNumber
			}
			return err
		},
	} {
		if v := rec[key]; v != "" {
			if err := set(v); err != nil {
				return fmt.Errorf("%s: the record %q of its pax header is not a number", cut(h.Name), key)
			}
		}
	}
	if v := rec["GNU.sparse.name"]; v != "" {
		h.Name = v
	}
	return nil
}

// parseTime reads seconds with a fraction, and leaves the fraction out.
func parseTime(v string) (time.Time, error) {
	whole, fraction, _ := strings.Cut(v, ".")
	n, err := strconv.ParseInt(whole, 10, 64)
	if err != nil || strings.Trim(fraction, "0123456789") != "" {
		return time.Time{}, errNumber
	}
	if strings.HasPrefix(whole, "-") && strings.Trim(fraction, "0") != "" {
		n--
	}
	return time.Unix(n, 0), nil
}
