package indeliblev1

import _ "embed"

//go:embed log.openapi.json
var openAPI string

// OpenAPI is the description of the REST API and of what is served beside it
// (OpenAPI 3.1, JSON), generated from log.proto.
func OpenAPI() string { return openAPI }
