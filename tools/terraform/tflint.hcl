plugin "terraform" {
  enabled = true
  preset  = "all"
}

# Variables whose names say it all need no description.
rule "terraform_documented_variables" {
  enabled = false
}

rule "terraform_documented_outputs" {
  enabled = false
}

# Files are named for what they hold.
rule "terraform_standard_module_structure" {
  enabled = false
}
