// Command replay is a Terraform provider that has the schema of another, and no cloud.
//
// The file schema.json beside the program is a [schema.Provider]. What the schema does
// not allow is refused by terraform itself. What a cloud would choose is unknown in a
// plan, and invented when it is applied. Ephemeral passwords begin with [secretMark], so
// that a test can look for them in plans and states. The data source http asks this
// machine for real; what other hosts answer is in the JSON file (the beginning of
// a URL to a body) that the variable REPLAY_ANSWERS names.
package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"

	"github.com/hashicorp/terraform-plugin-go/tfprotov6"
	"github.com/hashicorp/terraform-plugin-go/tfprotov6/tf6server"

	"indelible/test/terraform/schema"
)

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "replay:", err)
		os.Exit(1)
	}
}

func run() error {
	program, err := os.Executable()
	if err != nil {
		return err
	}
	data, err := os.ReadFile(filepath.Join(filepath.Dir(program), "schema.json"))
	if err != nil {
		return err
	}
	var p schema.Provider
	if err := json.Unmarshal(data, &p); err != nil {
		return err
	}
	s, err := newServer(p)
	if err != nil {
		return err
	}
	return tf6server.Serve("registry.terraform.io/hashicorp/"+p.Name, func() tfprotov6.ProviderServer { return s })
}
