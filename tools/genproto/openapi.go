package main

import (
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"strings"
)

type object = map[string]any

// openAPI makes a description in OpenAPI 3.1 from one in 2.0, which the plugin writes.
// What the plugin cannot know is in a file: other paths, examples and what is
// required. It is merged into the result.
func openAPI(swagger, moreFile string) (string, error) {
	var from, more object
	if err := json.Unmarshal([]byte(strings.ReplaceAll(swagger, "#/definitions/", "#/components/schemas/")), &from); err != nil {
		return "", fmt.Errorf("the plugin's description: %w", err)
	}
	data, err := os.ReadFile(moreFile)
	if err != nil {
		return "", err
	}
	if err := json.Unmarshal(data, &more); err != nil {
		return "", fmt.Errorf("%s: %w", moreFile, err)
	}
	paths := from["paths"].(object)
	for _, path := range paths {
		for _, operation := range path.(object) {
			convert(operation.(object))
		}
	}
	schemas := from["definitions"].(object)
	for name, s := range schemas {
		if answers(name) {
			require(s.(object))
		}
	}
	to := object{"openapi": "3.1.0", "info": from["info"], "tags": from["tags"], "paths": paths, "components": object{"schemas": schemas}}
	merge(to, more)
	text, err := json.MarshalIndent(to, "", "  ")
	return string(text) + "\n", err
}

// convert makes an operation one of OpenAPI 3.1.
func convert(operation object) {
	parameters, _ := operation["parameters"].([]any)
	kept := []any{}
	for _, p := range parameters {
		p := p.(object)
		if p["in"] == "body" {
			operation["requestBody"] = object{"required": true, "content": object{"application/json": object{"schema": p["schema"]}}}
			continue
		}
		schema := object{"type": p["type"]}
		if format, ok := p["format"]; ok {
			schema["format"] = format
		}
		delete(p, "type")
		delete(p, "format")
		p["schema"] = schema
		kept = append(kept, p)
	}
	delete(operation, "parameters")
	if len(kept) > 0 {
		operation["parameters"] = kept
	}
	for _, r := range operation["responses"].(object) {
		r := r.(object)
		r["content"] = object{"application/json": object{"schema": r["schema"]}}
		delete(r, "schema")
	}
}

// answers reports whether a schema is of answers, which have all their fields.
func answers(name string) bool {
	return strings.HasSuffix(name, "Response") || slices.Contains([]string{"v1LoggedEntry", "v1InclusionProof", "v1ConsistencyProof", "v1Checkpoint"}, name)
}

func require(schema object) {
	names := []string{}
	for name := range schema["properties"].(object) {
		names = append(names, name)
	}
	slices.Sort(names)
	schema["required"] = names
}

// merge writes what more has into to, member by member. A list of parameters in more
// is of parameters that are required, by their names.
func merge(to, more object) {
	for name, value := range more {
		have, isObject := to[name].(object)
		add, addsObject := value.(object)
		switch {
		case isObject && addsObject:
			merge(have, add)
		case name == "requiredParameters":
			requireParameters(to["parameters"].([]any), value.([]any))
		default:
			to[name] = value
		}
	}
}

func requireParameters(parameters, names []any) {
	for _, p := range parameters {
		if p := p.(object); slices.Contains(names, p["name"]) {
			p["required"] = true
		}
	}
}
