# A log in a cluster that is there. First: logcli keygen --origin log.example.com log.key; logcli keygen rekor-v1.key
#
#   export TF_VAR_log_key="$(cat log.key)" TF_VAR_rekor_v1_key="$(cat rekor-v1.key)"
#   export TF_VAR_database_dsn='log:…@tcp(…)/log' TF_VAR_register_dsn='register:…@tcp(…)/register'
#   terraform apply -var vkey=…                          # what logcli keygen printed
#   terraform apply -var vkey=… -var initialized=true    # once the host reaches the log
terraform {
  required_version = ">= 1.11.0"
  required_providers {
    helm       = { source = "hashicorp/helm", version = ">= 3.0.0, < 4.0.0" }
    kubernetes = { source = "hashicorp/kubernetes", version = ">= 2.36.0, < 3.0.0" }
  }
}

provider "kubernetes" {
  config_path = "~/.kube/config"
}

provider "helm" {
  kubernetes = {
    config_path = "~/.kube/config"
  }
}

variable "vkey" {
  type = string
}

variable "log_key" {
  type      = string
  sensitive = true
  ephemeral = true
  default   = null
}

variable "rekor_v1_key" {
  type      = string
  sensitive = true
  ephemeral = true
  default   = null
}

variable "database_dsn" {
  type      = string
  sensitive = true
  ephemeral = true
  default   = null
}

variable "register_dsn" {
  type      = string
  sensitive = true
  ephemeral = true
  default   = null
}

variable "initialized" {
  type    = bool
  default = false
}

module "log" {
  source = "../../kubernetes"

  host         = "log.example.com"
  vkey         = var.vkey
  log_key      = var.log_key
  rekor_v1_key = var.rekor_v1_key
  database_dsn = var.database_dsn
  register_dsn = var.register_dsn
  reachable    = var.initialized
  image        = { registry = "registry.example.com", tag = "1.0" }
  gateways     = [{ name = "gateway", namespace = "gateways" }]
  from         = [{ namespaceSelector = { matchLabels = { "kubernetes.io/metadata.name" = "gateways" } } }]
}

output "vkey" {
  value = module.log.vkey
}

output "trusted_root" {
  value = module.log.trusted_root
}
