package main

import (
	"fmt"
	"maps"
	"slices"

	"github.com/hashicorp/terraform-plugin-go/tfprotov6"
	"github.com/hashicorp/terraform-plugin-go/tftypes"

	"indelible/test/terraform/schema"
)

// schemas are a provider's, as the protocol has them.
func schemas(of map[string]schema.Block) (map[string]*tfprotov6.Schema, error) {
	out := map[string]*tfprotov6.Schema{}
	for name, b := range of {
		block, err := protoBlock(b)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		out[name] = &tfprotov6.Schema{Block: block}
	}
	return out, nil
}

func protoBlock(b schema.Block) (*tfprotov6.SchemaBlock, error) {
	out := &tfprotov6.SchemaBlock{}
	var err error
	if out.Attributes, err = protoAttributes(b.Attributes); err != nil {
		return nil, err
	}
	for _, name := range slices.Sorted(maps.Keys(b.Blocks)) {
		n := b.Blocks[name]
		block, err := protoBlock(n.Block)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		nested := &tfprotov6.SchemaNestedBlock{TypeName: name, Block: block, Nesting: map[schema.Nesting]tfprotov6.SchemaNestedBlockNestingMode{
			schema.Single: tfprotov6.SchemaNestedBlockNestingModeSingle, schema.List: tfprotov6.SchemaNestedBlockNestingModeList,
			schema.Set: tfprotov6.SchemaNestedBlockNestingModeSet,
		}[n.Nesting]}
		if n.Nesting != schema.Single {
			nested.MinItems = int64(n.AtLeast)
			if n.One {
				nested.MaxItems = 1
			}
		}
		out.BlockTypes = append(out.BlockTypes, nested)
	}
	return out, nil
}

func protoAttributes(of map[string]schema.Attribute) (list []*tfprotov6.SchemaAttribute, err error) {
	for _, name := range slices.Sorted(maps.Keys(of)) {
		a := of[name]
		out := &tfprotov6.SchemaAttribute{Name: name, Required: a.Required, Optional: a.Optional, Computed: a.Computed, WriteOnly: a.WriteOnly}
		if a.Object == nil {
			if out.Type, err = protoType(a.Type); err != nil {
				return nil, fmt.Errorf("%s: %w", name, err)
			}
			list = append(list, out)
			continue
		}
		out.NestedType = &tfprotov6.SchemaObject{Nesting: map[schema.Nesting]tfprotov6.SchemaObjectNestingMode{
			schema.Single: tfprotov6.SchemaObjectNestingModeSingle, schema.List: tfprotov6.SchemaObjectNestingModeList,
			schema.Set: tfprotov6.SchemaObjectNestingModeSet, schema.Map: tfprotov6.SchemaObjectNestingModeMap,
		}[a.Nesting]}
		if out.NestedType.Attributes, err = protoAttributes(a.Object); err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		list = append(list, out)
	}
	return list, nil
}

// protoType reads a type as schemas write it: a name, or a list of a kind and what is
// within it.
func protoType(t any) (tftypes.Type, error) {
	switch t := t.(type) {
	case string:
		simple := map[string]tftypes.Type{"string": tftypes.String, "number": tftypes.Number, "bool": tftypes.Bool, "dynamic": tftypes.DynamicPseudoType}
		if found, ok := simple[t]; ok {
			return found, nil
		}
	case []any:
		if len(t) == 2 {
			return compoundType(t[0], t[1])
		}
	}
	return nil, fmt.Errorf("a schema has the type %v, which is not known", t)
}

func compoundType(kind, within any) (tftypes.Type, error) {
	switch kind {
	case "list", "set", "map":
		of, err := protoType(within)
		return map[any]tftypes.Type{"list": tftypes.List{ElementType: of}, "set": tftypes.Set{ElementType: of}, "map": tftypes.Map{ElementType: of}}[kind], err
	case "tuple":
		out := tftypes.Tuple{}
		list, _ := within.([]any)
		for _, t := range list {
			of, err := protoType(t)
			if err != nil {
				return nil, err
			}
			out.ElementTypes = append(out.ElementTypes, of)
		}
		return out, nil
	case "object":
		out := tftypes.Object{AttributeTypes: map[string]tftypes.Type{}}
		members, _ := within.(map[string]any)
		for name, t := range members {
			of, err := protoType(t)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", name, err)
			}
			out.AttributeTypes[name] = of
		}
		return out, nil
	}
	return nil, fmt.Errorf("a schema has the type %v, which is not known", kind)
}
