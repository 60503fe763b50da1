// Package schema has the schemas of Terraform providers, read from the npm packages
// that @cdktf makes of them.
//
//	p, err := schema.Read(tgz, "aws", []string{"aws_kms_key", "data.aws_region"})
//
// The packages say of an argument whether it is required, its type and how blocks
// nest. They do not say which values it takes, which arguments exclude each other,
// which have a default, and which are sensitive. Two things are therefore by rule: an
// argument that is not required may be computed by the provider as well, and one whose
// name ends in _wo is write-only. Ephemeral resources are not in the packages: [Ephemeral]
// has those that the modules use, as their documentation describes them.
package schema

// Provider is the schema of one provider.
type Provider struct {
	Name      string           `json:"name"`    // as aws
	Version   string           `json:"version"` // of the provider itself, as 6.25.0
	Config    Block            `json:"config"`
	Resources map[string]Block `json:"resources"`
	Data      map[string]Block `json:"data"`
	Ephemeral map[string]Block `json:"ephemeral"`
}

// Block has arguments and blocks within it.
type Block struct {
	Attributes map[string]Attribute `json:"attributes"`
	Blocks     map[string]Nested    `json:"blocks,omitempty"`
}

// Nesting tells how often a block or a nested attribute may stand.
type Nesting string

// The kinds of nesting.
const (
	Single Nesting = "single"
	List   Nesting = "list"
	Set    Nesting = "set"
	Map    Nesting = "map"
)

// Nested is a block within a block.
type Nested struct {
	Block
	Nesting Nesting `json:"nesting"`
	One     bool    `json:"one,omitempty"`      // a list with one block at most
	AtLeast int     `json:"at_least,omitempty"` // 1 where one is required
}

// Attribute is an argument, or what a resource tells of itself.
type Attribute struct {
	Type      any                  `json:"type,omitempty"`       // as JSON writes Terraform's types: "string", ["list","string"]
	Object    map[string]Attribute `json:"object,omitempty"`     // instead of Type: an object of arguments
	Nesting   Nesting              `json:"nesting,omitempty"`    // of Object
	Required  bool                 `json:"required,omitempty"`   //
	Optional  bool                 `json:"optional,omitempty"`   //
	Computed  bool                 `json:"computed,omitempty"`   // the provider may choose it
	WriteOnly bool                 `json:"write_only,omitempty"` // never in plan or state
}

// Ephemeral returns the ephemeral resources of a provider.
func Ephemeral(provider string) map[string]Block {
	computed := Attribute{Type: "string", Computed: true}
	optional := func(of string) Attribute { return Attribute{Type: of, Optional: true, Computed: true} }
	return map[string]map[string]Block{
		"random": {"random_password": {Attributes: map[string]Attribute{
			"length": {Type: "number", Required: true}, "result": computed, "bcrypt_hash": computed,
			"special": optional("bool"), "override_special": optional("string"),
			"lower": optional("bool"), "min_lower": optional("number"), "upper": optional("bool"), "min_upper": optional("number"),
			"numeric": optional("bool"), "min_numeric": optional("number"), "min_special": optional("number"),
		}}},
	}[provider]
}
