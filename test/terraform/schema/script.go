package schema

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
)

// What a script says, in the words of its generator.
var (
	declaration  = regexp.MustCompile(`(?m)^export (?:class|interface|function) (\w+)(?: extends cdktf\.(\w+))?.*$`)
	comment      = regexp.MustCompile(`(?m)^  // (\w+) - computed: (true|false), optional: (true|false), required: (true|false)\n(.*\n(?:.*\n)?)`)
	documented   = regexp.MustCompile(`\* (\w+) block\n\s*\*\s*\n.*?#(\w+) `)
	argument     = regexp.MustCompile(`(?m)^ +(\w+): \{\n +value: (.*),\n +isBlock: (true|false),\n +type: "(\w+)",\n +storageClassType: "(\w+)",\n`)
	nestedHCL    = regexp.MustCompile(`\b([a-z]\w*)ToHclTerraform`)
	constructed  = regexp.MustCompile(`= new (cdktf\.)?(\w+)\(this, "\w+"(?:, (true|false))?\)`)
	read         = regexp.MustCompile(`return (cdktf\.Fn\.tolist\()?this\.get(\w+)Attribute\(`)
	listed       = regexp.MustCompile(`#(\w+) [^\n]*\n[^/]*\*/\n\s*readonly \w+(\??):`)
	lowerInitial = regexp.MustCompile(`^[a-z]`)
)

// module is a script's declarations by name: classes, interfaces and functions.
type module struct {
	text map[string]string
	main string // the class of the resource itself
}

func parse(source string) (Block, error) {
	m := module{text: map[string]string{}}
	marks := declaration.FindAllStringSubmatchIndex(source, -1)
	for i, at := range marks {
		end := len(source)
		if i+1 < len(marks) {
			end = marks[i+1][0]
		}
		name := source[at[2]:at[3]]
		m.text[name] = source[at[0]:end]
		if at[4] >= 0 && strings.HasPrefix(source[at[4]:at[5]], "Terraform") && !strings.HasSuffix(name, "Config") {
			m.main = name
		}
	}
	if m.main == "" {
		return Block{}, fmt.Errorf("there is no class of a resource")
	}
	return m.block(m.main, m.text[m.main], m.text[m.main+"Config"])
}

// block reads a class, which has the comments and, if it is the resource's own, the
// arguments; those of a nested block are in a function, which is appended to the class.
func (m module) block(name, class, declared string) (Block, error) {
	b := Block{Attributes: map[string]Attribute{}, Blocks: map[string]Nested{}}
	blocks := map[string]bool{}
	for _, d := range documented.FindAllStringSubmatch(declared, -1) {
		blocks[d[2]] = d[1] == d[2]
	}
	arguments := map[string][]string{}
	_, written, _ := strings.Cut(class, "const attrs = {")
	for _, a := range argument.FindAllStringSubmatch(written, -1) {
		arguments[a[1]] = a
	}
	for _, c := range m.told(class, declared, arguments) {
		attribute := c[1]
		a := arguments[attribute]
		nested := nestedIn(a)
		var err error
		switch {
		case nested != "" && blocks[attribute]:
			b.Blocks[attribute], err = m.nestedBlock(nested, a, c)
		case nested != "":
			b.Attributes[attribute], err = m.nestedAttribute(nested, a, c)
		case a != nil:
			b.Attributes[attribute], err = simple(attribute, a, c)
		default:
			b.Attributes[attribute], err = m.computed(c)
		}
		if err != nil {
			return b, fmt.Errorf("%s of %s: %w", attribute, name, err)
		}
	}
	if len(b.Attributes)+len(b.Blocks) < len(arguments) {
		return b, fmt.Errorf("%s: not all of its arguments are known", name)
	}
	return b, nil
}

// told is what the comments of a class tell of each attribute. The blocks of a provider
// have no class; there, the interface tells which arguments are required.
func (m module) told(class, declared string, arguments map[string][]string) [][]string {
	list := comment.FindAllStringSubmatch(class, -1)
	if len(list) > 0 {
		return list
	}
	for _, l := range listed.FindAllStringSubmatch(declared, -1) {
		if arguments[l[1]] != nil {
			list = append(list, []string{"", l[1], "false", strconv.FormatBool(l[2] == "?"), strconv.FormatBool(l[2] != "?"), ""})
		}
	}
	return list
}

// nestedIn is the name of the function that writes what is nested in an argument, if
// something is.
func nestedIn(a []string) string {
	if a == nil {
		return ""
	}
	n := nestedHCL.FindStringSubmatch(strings.ReplaceAll(a[2], "cdktf.", "cdktf_"))
	if n == nil || strings.HasPrefix(n[1], "cdktf_") {
		return ""
	}
	return n[1]
}

func upper(name string) string {
	return lowerInitial.ReplaceAllStringFunc(name, strings.ToUpper)
}

// below reads what is nested, by the name of its function.
func (m module) below(nested string) (Block, error) {
	name := upper(nested)
	if m.text[name] == "" || m.text[nested+"ToHclTerraform"] == "" {
		return Block{}, fmt.Errorf("there is no interface of %s", name)
	}
	return m.block(name, m.text[name+"OutputReference"]+m.text[nested+"ToHclTerraform"], m.text[name])
}

func (m module) nestedBlock(nested string, a, c []string) (n Nested, err error) {
	if n.Block, err = m.below(nested); err != nil {
		return n, err
	}
	n.One = !strings.Contains(a[2], "istMapperHcl(") && a[4] != "struct"
	n.Nesting = map[string]Nesting{"list": List, "set": Set, "struct": Single}[a[4]]
	if c[4] == "true" {
		n.AtLeast = 1
	}
	if n.Nesting == "" {
		return n, fmt.Errorf("a block that nests as %q", a[4])
	}
	return n, nil
}

func (m module) nestedAttribute(nested string, a, c []string) (Attribute, error) {
	b, err := m.below(nested)
	if err != nil {
		return Attribute{}, err
	}
	if len(b.Blocks) > 0 {
		return Attribute{}, fmt.Errorf("a block within an attribute")
	}
	n := flags(a[1], c)
	n.Object = b.Attributes
	n.Nesting = map[string]Nesting{"list": List, "set": Set, "struct": Single, "map": Map}[a[4]]
	if n.Nesting == "" {
		return n, fmt.Errorf("an attribute that nests as %q", a[4])
	}
	return n, nil
}

func flags(name string, c []string) Attribute {
	return Attribute{Computed: c[2] == "true", Optional: c[3] == "true", Required: c[4] == "true", WriteOnly: strings.HasSuffix(name, "_wo")}
}

func simple(name string, a, c []string) (Attribute, error) {
	n := flags(name, c)
	of := a[5]
	element := map[string]string{"string": "string", "number": "number", "boolean": "bool", "any": "dynamic"}
	switch t := strings.TrimSuffix(strings.TrimSuffix(of, "List"), "Map"); {
	case a[4] == "simple" && element[of] != "":
		n.Type = element[of]
	case (a[4] == "list" || a[4] == "set" || a[4] == "map") && element[t] != "":
		n.Type = []any{a[4], element[t]}
	default:
		return n, fmt.Errorf("type %q of %q is not known", a[4], of)
	}
	return n, nil
}

// computed reads what a resource tells of itself by how the class gets it.
func (m module) computed(c []string) (Attribute, error) {
	n := Attribute{Computed: true}
	if r := read.FindStringSubmatch(c[5]); r != nil {
		t, ok := map[string]any{
			"String": "string", "Number": "number", "Boolean": "bool", "List": []any{"list", "string"}, "NumberList": []any{"list", "number"},
			"StringMap": []any{"map", "string"}, "NumberMap": []any{"map", "number"}, "BooleanMap": []any{"map", "bool"},
		}[r[2]]
		if !ok {
			return n, fmt.Errorf("it is read as %s", r[2])
		}
		if r[1] != "" {
			t = []any{"set", "string"}
		}
		n.Type = t
		return n, nil
	}
	k := constructed.FindStringSubmatch(c[5])
	if k == nil {
		return n, fmt.Errorf("how it is read is not known: %q", c[5])
	}
	return m.collection(k)
}

// collection is a computed list, set or map.
func (m module) collection(k []string) (Attribute, error) {
	n := Attribute{Computed: true}
	if t, ok := strings.CutSuffix(k[2], "Map"); ok && k[1] != "" {
		n.Type = []any{"map", map[string]string{"String": "string", "Number": "number", "Boolean": "bool", "Any": "dynamic"}[t]}
		return n, nil
	}
	name, kind := k[2], ""
	for suffix, of := range map[string]string{"List": "list", "Map": "map", "OutputReference": ""} {
		if t, ok := strings.CutSuffix(name, suffix); ok {
			name, kind = t, of
			break
		}
	}
	class, ok := m.text[name+"OutputReference"]
	if !ok {
		return n, fmt.Errorf("there is no class of %s", name)
	}
	b, err := m.block(name, class, "")
	if err != nil {
		return n, err
	}
	object := map[string]any{}
	for attribute, a := range b.Attributes {
		object[attribute] = a.Type
	}
	n.Type = []any{"object", object}
	if k[3] == "true" {
		kind = "set"
	}
	if kind != "" {
		n.Type = []any{kind, n.Type}
	}
	return n, nil
}
