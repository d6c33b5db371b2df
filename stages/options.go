package stages

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/osbuildkit/osbuildkit/module"
	"github.com/osbuildkit/osbuildkit/tree"
)

// checker is what the options of a stage implement to report what their JSON
// schema cannot say. What a schema does say is repeated where the stage's
// safety depends on it, as a stage may be called by hand.
type checker interface {
	check() []module.Problem
}

// optionsOf makes the Options function of a module.
func optionsOf[T any]() any { return new(T) }

// checkOf makes the Check function of a module.
func checkOf[T any, P interface {
	*T
	checker
}](options json.RawMessage) []module.Problem {
	o := P(new(T))
	in := module.Input{Options: options}
	if err := in.DecodeOptions(o); err != nil {
		return []module.Problem{{Message: err.Error()}}
	}
	return o.check()
}

// runOf makes the Run function of a module: it decodes and checks the options
// and opens the tree before the stage's own work begins.
func runOf[T any, P interface {
	*T
	checker
}](do func(in *module.Input, t *tree.Root, o *T) error) func(context.Context, *module.Input) error {
	return runOfContext[T, P](func(_ context.Context, in *module.Input, t *tree.Root, o *T) error { return do(in, t, o) })
}

// runOfContext is runOf for a stage whose work may take long.
func runOfContext[T any, P interface {
	*T
	checker
}](do func(ctx context.Context, in *module.Input, t *tree.Root, o *T) error) func(context.Context, *module.Input) error {
	return func(ctx context.Context, in *module.Input) error {
		o := P(new(T))
		if err := in.DecodeOptions(o); err != nil {
			return err
		}
		if err := problemsError(o.check()); err != nil {
			return err
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		t, err := tree.Open(in.Tree)
		if err != nil {
			return fmt.Errorf("opening the tree: %w", err)
		}
		defer t.Close()
		return do(ctx, in, t, (*T)(o))
	}
}

func problemsError(problems []module.Problem) error {
	var errs []error
	for _, p := range problems {
		where := "options"
		if p.Pointer != "" {
			where += ": " + p.Pointer
		}
		errs = append(errs, fmt.Errorf("%s: %s", where, p.Message))
	}
	return errors.Join(errs...)
}

// Number is a whole number that is not negative, written in JSON as a number
// or, as the manifests of 2019 do, as a string of digits.
type Number int64

// JSONSchemaText returns the JSON schema of a Number.
func (Number) JSONSchemaText() string {
	return `{"type": ["integer", "string"], "minimum": 0, "pattern": "^[0-9]{1,18}$"}`
}

// UnmarshalJSON reads a number in either form. A number that is whole may be
// written with an empty fraction or an exponent, as 1.0 or 1e3.
func (n *Number) UnmarshalJSON(data []byte) error {
	if bytes.Equal(data, []byte("null")) {
		return errors.New("null is not a number; leave the key out")
	}
	text := string(data)
	if strings.HasPrefix(text, `"`) {
		if err := json.Unmarshal(data, &text); err != nil {
			return err
		}
		if len(text) > 18 || text == "" || strings.Trim(text, "0123456789") != "" {
			return fmt.Errorf("%q is not a number of at most 18 digits", text)
		}
	}
	v, err := strconv.ParseInt(text, 10, 64)
	if err != nil {
		f, ferr := strconv.ParseFloat(text, 64)
		if ferr != nil || f != float64(int64(f)) || f > 1<<53 {
			return fmt.Errorf("%s is not a whole number", text)
		}
		v = int64(f)
	}
	if v < 0 {
		return fmt.Errorf("%d is negative", v)
	}
	*n = Number(v)
	return nil
}

// quote names a value in a message; a long one is cut.
func quote(s string) string {
	const most = 80
	if len(s) > most {
		s = s[:most] + "…"
	}
	return strconv.Quote(s)
}

// sortProblems puts problems into the order of their pointers and messages,
// for checks that go through a map.
func sortProblems(problems []module.Problem) []module.Problem {
	slices.SortStableFunc(problems, func(a, b module.Problem) int {
		return cmp.Or(strings.Compare(a.Pointer, b.Pointer), strings.Compare(a.Message, b.Message))
	})
	return problems
}
