// Package config reads a program's settings: from its flags, its environment,
// one YAML file, and their defaults, in this order of precedence.
//
// The settings are one table. Flags, variables, keys of the file, help and
// documentation all come from it:
//
//	--shutdown-timeout 10s
//	INDELIBLE_SHUTDOWN_TIMEOUT=10s
//	shutdown-timeout: 10s
//
// The file is read strictly: a key that is not in the table is an error, and so is
// a second document. A variable that names no setting is no error, since it may be
// for another program; Strangers finds them.
package config

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"go.yaml.in/yaml/v3"

	"indelible/internal/filename"
)

// Type is what a setting's text must be.
type Type string

// The types.
const (
	Text     Type = "text"
	File     Type = "file"
	Duration Type = "duration" // 10s, 1m30s
	Size     Type = "size"     // bytes: 65536, 64KiB, 8MiB, 1GiB
	Number   Type = "number"
	List     Type = "list" // a,b,c
	Bool     Type = "bool" // true or false; the flag alone is true
)

// Setting is one row of the table.
type Setting struct {
	Name    string // of the flag and the file's key
	Type    Type
	Default string
	Help    string   // one or two sentences
	OneOf   []string // the values allowed; empty: any
	NotZero bool     // 0 is refused, which packages take for "not said"; and a list without parts
	Schemes []string // what a URI begins with that a file's setting takes as well
	Written bool     // the program writes the file: what it holds is not a setting
}

// prefix begins all variables.
const prefix = "INDELIBLE_"

// Env is the setting's environment variable.
func (s Setting) Env() string {
	return prefix + strings.ToUpper(strings.ReplaceAll(s.Name, "-", "_"))
}

// Origin says where a value came from.
type Origin string

// Value is a setting's value in effect.
type Value struct {
	Setting
	Text string
	From Origin // "default", "flag", "environment" or the file's name and line
	File string // the YAML file, if it came from there
}

// Values are all settings' values.
type Values struct{ list []Value }

// AddFlags gives a flag set a flag for each setting.
func AddFlags(fs *pflag.FlagSet, table []Setting) {
	for _, s := range table {
		v := flagValue{setting: s, text: s.Default}
		flag := fs.VarPF(&v, s.Name, "", fmt.Sprintf("%s (%s)", s.Help, s.Env()))
		if s.Type == Bool {
			flag.NoOptDefVal = "true"
		}
	}
}

// Complete has a shell complete the values of the flags that AddFlags gave a
// command.
func Complete(cmd *cobra.Command, table []Setting) {
	for _, s := range table {
		values := s.OneOf
		switch {
		case s.Type == File:
			continue // a shell completes names of files
		case s.Type == Bool:
			values = []string{"true", "false"}
		}
		cobra.CheckErr(cmd.RegisterFlagCompletionFunc(s.Name, cobra.FixedCompletions(values, cobra.ShellCompDirectiveNoFileComp)))
	}
}

// flagValue is a flag that keeps its text; Load checks it. A list may be given in
// several flags.
type flagValue struct {
	setting Setting
	text    string
	given   bool
}

func (v *flagValue) String() string { return v.text }
func (v *flagValue) Type() string   { return string(v.setting.Type) }

// Set implements pflag.Value.
func (v *flagValue) Set(s string) error {
	if v.given && v.setting.Type == List {
		s = v.text + "," + s
	}
	v.text, v.given = s, true
	return nil
}

// Load finds every setting's value and checks it. file is the YAML file; empty
// for none. getenv is os.LookupEnv.
func Load(table []Setting, fs *pflag.FlagSet, getenv func(string) (string, bool), file string) (Values, error) {
	fromFile, err := readFile(table, file)
	if err != nil {
		return Values{}, err
	}
	var all Values
	for _, s := range table {
		v := Value{Setting: s, Text: s.Default, From: "default"}
		if f, ok := fromFile[s.Name]; ok {
			v.Text, v.From, v.File = f.Text, f.From, file
		}
		if text, ok := getenv(s.Env()); ok {
			v.Text, v.From, v.File = text, Origin("environment "+s.Env()), ""
		}
		if f := fs.Lookup(s.Name); f != nil && f.Changed {
			v.Text, v.From, v.File = f.Value.String(), Origin("flag --"+s.Name), ""
		}
		if err := v.check(); err != nil {
			return Values{}, fmt.Errorf("%s (%s): %w", s.Name, v.From, err)
		}
		all.list = append(all.list, v)
	}
	return all, nil
}

// readFile reads a flat mapping of settings.
func readFile(table []Setting, file string) (map[string]Value, error) {
	if file == "" {
		return nil, nil
	}
	if err := filename.Check(file); err != nil {
		return nil, fmt.Errorf("the configuration file: %w", err)
	}
	data, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("read the configuration: %w", err)
	}
	root, err := onlyDocument(data)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	if root == nil {
		return nil, nil
	}
	if root.Kind != yaml.MappingNode {
		return nil, fmt.Errorf("%s, line %d: it must be settings, one a line, such as storage: mysql", file, root.Line)
	}
	values := make(map[string]Value)
	for i := 0; i < len(root.Content); i += 2 {
		key, val := root.Content[i], root.Content[i+1]
		at := Origin(fmt.Sprintf("%s, line %d", file, key.Line))
		if !slices.ContainsFunc(table, func(s Setting) bool { return s.Name == key.Value }) {
			return nil, fmt.Errorf("%s: there is no setting %q%s", at, key.Value, nearest(table, key.Value))
		}
		if _, ok := values[key.Value]; ok {
			return nil, fmt.Errorf("%s: %q is there twice", at, key.Value)
		}
		text, err := scalar(val)
		if err != nil {
			return nil, fmt.Errorf("%s: %s: %w", at, key.Value, err)
		}
		values[key.Value] = Value{Text: text, From: at}
	}
	return values, nil
}

// onlyDocument is what a YAML file holds; nil if that is nothing.
func onlyDocument(data []byte) (*yaml.Node, error) {
	decoder := yaml.NewDecoder(bytes.NewReader(data))
	var doc, more yaml.Node
	switch err := decoder.Decode(&doc); {
	case err == io.EOF:
		return nil, nil
	case err != nil:
		return nil, err
	}
	switch err := decoder.Decode(&more); {
	case err == nil:
		return nil, fmt.Errorf("line %d: a second document begins; a configuration is one: leave out the line ---", more.Line)
	case err != io.EOF:
		return nil, err
	case len(doc.Content) == 0:
		return nil, nil
	}
	return doc.Content[0], nil
}

// scalar takes a value, or a list of them, as text.
func scalar(n *yaml.Node) (string, error) {
	switch n.Kind {
	case yaml.ScalarNode:
		return n.Value, nil
	case yaml.SequenceNode:
		var parts []string
		for _, c := range n.Content {
			if c.Kind != yaml.ScalarNode {
				return "", errors.New("a list of plain values is expected")
			}
			parts = append(parts, c.Value)
		}
		return strings.Join(parts, ","), nil
	}
	return "", errors.New("a plain value is expected")
}

func (v Value) check() error {
	var err error
	switch v.Type {
	case File:
		err = filename.Check(v.Text, v.Schemes...)
	case Duration:
		var d time.Duration
		switch d, err = time.ParseDuration(v.Text); {
		case err != nil:
			err = fmt.Errorf("%q is not a duration, such as 10s or 1m30s", v.Text)
		case d < 0:
			err = fmt.Errorf("%q is negative; give a duration from 0s up, such as 10s or 1m30s", v.Text)
		}
	case Size:
		_, err = parseSize(v.Text)
	case Number:
		if n, bad := strconv.Atoi(v.Text); bad != nil || n < 0 {
			err = fmt.Errorf("%q is not a whole number from 0 up", v.Text)
		}
	case Bool:
		if v.Text != "true" && v.Text != "false" {
			err = fmt.Errorf("%q is not true or false", v.Text)
		}
	}
	if err == nil && v.NotZero && v.zero() {
		err = fmt.Errorf("%q is nothing; it must be more", v.Text)
		if v.Type == List {
			err = fmt.Errorf("it is empty; give one or more of %s", strings.Join(v.OneOf, ", "))
		}
	}
	if err != nil || len(v.OneOf) == 0 {
		return err
	}
	for _, part := range splitList(v.Text) {
		if !slices.Contains(v.OneOf, part) {
			return fmt.Errorf("%q is not one of %s", part, strings.Join(v.OneOf, ", "))
		}
	}
	return nil
}

// zero reports whether a number, a size or a duration is 0, or a list empty.
func (v Value) zero() bool {
	list := Values{[]Value{v}}
	switch v.Type {
	case Duration:
		return list.Duration(v.Name) == 0
	case Size:
		return list.Size(v.Name) == 0
	case Number:
		return list.Number(v.Name) == 0
	case List:
		return len(list.List(v.Name)) == 0
	}
	return false
}

// parseSize reads a number of bytes.
func parseSize(s string) (int64, error) {
	digits, factor := s, int64(1)
	for _, u := range []struct {
		suffix string
		factor int64
	}{{"KiB", 1 << 10}, {"MiB", 1 << 20}, {"GiB", 1 << 30}, {"B", 1}} {
		if rest, ok := strings.CutSuffix(s, u.suffix); ok {
			digits, factor = strings.TrimSpace(rest), u.factor
			break
		}
	}
	n, err := strconv.ParseInt(digits, 10, 64)
	if err != nil || n < 0 || n > (1<<62)/factor {
		return 0, fmt.Errorf("%q is not a size, such as 65536, 64KiB or 8MiB", s)
	}
	return n * factor, nil
}

func splitList(s string) []string {
	var parts []string
	for p := range strings.SplitSeq(s, ",") {
		if p = strings.TrimSpace(p); p != "" {
			parts = append(parts, p)
		}
	}
	return parts
}

// All returns every value, in the order of the table.
func (v Values) All() []Value { return v.list }

// get finds a value. A name that is not in the table is a fault of the program.
func (v Values) get(name string) Value {
	i := slices.IndexFunc(v.list, func(x Value) bool { return x.Name == name })
	if i < 0 {
		panic("config: there is no setting " + name)
	}
	return v.list[i]
}

// Text returns a setting as it is written.
func (v Values) Text(name string) string { return v.get(name).Text }

// From says where a setting's value came from.
func (v Values) From(name string) Origin { return v.get(name).From }

// File is the YAML file that a setting's value came from; empty if it did not.
func (v Values) File(name string) string { return v.get(name).File }

// Duration returns a setting of that type.
func (v Values) Duration(name string) time.Duration {
	d, _ := time.ParseDuration(v.get(name).Text) // checked by Load
	return d
}

// Size returns a setting in bytes.
func (v Values) Size(name string) int64 {
	n, _ := parseSize(v.get(name).Text) // checked by Load
	return n
}

// Number returns a setting of that type.
func (v Values) Number(name string) int {
	n, _ := strconv.Atoi(v.get(name).Text) // checked by Load
	return n
}

// Bool returns a setting of that type.
func (v Values) Bool(name string) bool { return v.get(name).Text == "true" }

// List returns a setting's parts.
func (v Values) List(name string) []string { return splitList(v.get(name).Text) }

// Strangers are the variables of an environment, as os.Environ has it, that begin
// like those of the settings and name none, each with the nearest that does. known
// are variables that are no settings.
func Strangers(table []Setting, environ []string, known ...string) []string {
	var found []string
	for _, pair := range environ {
		name, _, _ := strings.Cut(pair, "=")
		rest, ours := strings.CutPrefix(name, prefix)
		if !ours || slices.Contains(known, name) || slices.ContainsFunc(table, func(s Setting) bool { return s.Env() == name }) {
			continue
		}
		if near, ok := like(table, strings.ToLower(strings.ReplaceAll(rest, "_", "-"))); ok {
			name += " (the nearest is " + near.Env() + ")"
		}
		found = append(found, name)
	}
	slices.Sort(found)
	return found
}

// nearest names the setting that s was meant to be.
func nearest(table []Setting, s string) string {
	if best, ok := like(table, s); ok {
		return fmt.Sprintf("; the nearest is %q", best.Name)
	}
	return "; --help lists them"
}

// like finds the setting that takes the fewest changes to make of s, if that is
// few: in more than half of their letters any two words differ.
func like(table []Setting, s string) (best Setting, ok bool) {
	least := 1 << 30
	for _, t := range table {
		if d := distance(t.Name, s); d < least {
			best, least = t, d
		}
	}
	return best, 2*least <= max(len(best.Name), len(s))
}

// distance is Levenshtein's.
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := diagonal
			if a[i] != b[j] {
				cost++
			}
			diagonal = row[j+1]
			row[j+1] = min(cost, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}

// Markdown documents a table.
func Markdown(table []Setting) string {
	var b strings.Builder
	b.WriteString("| setting | type | default | what it does |\n|---|---|---|---|\n")
	for _, s := range table {
		def := "`" + s.Default + "`"
		if s.Default == "" {
			def = ""
		}
		help := strings.ReplaceAll(s.Help, "|", "\\|")
		fmt.Fprintf(&b, "| `--%s`<br>`%s` | %s | %s | %s |\n", s.Name, s.Env(), s.Type, def, help)
	}
	return b.String()
}
