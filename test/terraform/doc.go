// Package terraform tests the modules of deploy/terraform without a cloud.
//
// HashiCorp's providers cannot be built here, but their schemas are public: the
// npm packages @cdktf/provider-* repeat every argument of every resource. Package
// schema reads them, and the program replay is a provider that has such a schema
// and no cloud behind it. It takes what the schema allows, invents what a cloud
// would answer, and keeps nothing.
//
// So terraform's own init, validate, test, plan, apply and destroy run. A misspelt,
// missing or wrongly typed argument is found. An argument that the service itself
// would refuse (a region without the instance class, two arguments that exclude each
// other) is not.
package terraform
