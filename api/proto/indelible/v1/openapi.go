package indeliblev1

import _ "embed"

//go:embed log.swagger.json
var openAPI string

// OpenAPI is the description of the REST API (OpenAPI 2.0, JSON), generated
// from log.proto.
func OpenAPI() string { return openAPI }
