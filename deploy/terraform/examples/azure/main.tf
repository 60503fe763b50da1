# A log on Azure, in a network that is there. First: logcli keygen --origin log.example.com log.key
#
#   export TF_VAR_log_key="$(cat log.key)"
#   export TF_VAR_database_password="$(openssl rand -base64 36 | tr -d /+=)" TF_VAR_register_password="$(openssl rand -base64 36 | tr -d /+=)"
#   terraform apply -var vkey=… -target=module.cloud     # the cluster must be there before something is put into it
#   terraform apply -var vkey=…                          # the log: a job of the chart makes it
#   terraform apply -var vkey=… -var initialized=true    # once the host reaches the log
terraform {
  required_version = ">= 1.11.0"
  required_providers {
    azurerm    = { source = "hashicorp/azurerm", version = ">= 4.23.0, < 5.0.0" }
    helm       = { source = "hashicorp/helm", version = ">= 3.0.0, < 4.0.0" }
    kubernetes = { source = "hashicorp/kubernetes", version = ">= 2.36.0, < 3.0.0" }
  }
}

provider "azurerm" {
  subscription_id = "00000000-0000-0000-0000-000000000000"
  features {
    key_vault {
      purge_soft_delete_on_destroy = false
    }
  }
}

# A token for each call, which no state has.
provider "kubernetes" {
  host                   = module.cloud.cluster.host
  cluster_ca_certificate = try(base64decode(module.cloud.cluster.cluster_ca_certificate), null)
  exec {
    api_version = "client.authentication.k8s.io/v1"
    command     = "kubelogin"
    args        = ["get-token", "--login", "azurecli", "--server-id", "6dae42f8-4368-4678-94ff-3960e28e3630"]
  }
}

provider "helm" {
  kubernetes = {
    host                   = module.cloud.cluster.host
    cluster_ca_certificate = try(base64decode(module.cloud.cluster.cluster_ca_certificate), null)
    exec = {
      api_version = "client.authentication.k8s.io/v1"
      command     = "kubelogin"
      args        = ["get-token", "--login", "azurecli", "--server-id", "6dae42f8-4368-4678-94ff-3960e28e3630"]
    }
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

variable "database_password" {
  type      = string
  sensitive = true
  ephemeral = true
  default   = null
}

variable "register_password" {
  type      = string
  sensitive = true
  ephemeral = true
  default   = null
}

variable "initialized" {
  type    = bool
  default = false
}

module "cloud" {
  source = "../../azure"

  name                    = "log-example"
  resource_group          = "logs"
  location                = "germanywestcentral"
  tenant_id               = "00000000-0000-0000-0000-000000000001"
  network_id              = "/subscriptions/00000000-0000-0000-0000-000000000000/resourceGroups/logs/providers/Microsoft.Network/virtualNetworks/main"
  database_subnet_id      = "/subscriptions/00000000-0000-0000-0000-000000000000/resourceGroups/logs/providers/Microsoft.Network/virtualNetworks/main/subnets/databases"
  cluster_subnet_id       = "/subscriptions/00000000-0000-0000-0000-000000000000/resourceGroups/logs/providers/Microsoft.Network/virtualNetworks/main/subnets/cluster"
  control_plane_cidrs     = ["203.0.113.0/24"]
  administrators_group_id = "00000000-0000-0000-0000-000000000002"
  database_password       = var.database_password
  register_password       = var.register_password
}

module "log" {
  source = "../../kubernetes"

  host                = "log.example.com"
  vkey                = var.vkey
  log_key             = var.log_key
  database_dsn        = var.database_password == null ? null : "indelible:${var.database_password}@${module.cloud.database_address}"
  register_dsn        = var.register_password == null ? null : "indelible:${var.register_password}@${module.cloud.register_address}"
  dsn_version         = module.cloud.password_version
  rekor_v1_kms        = module.cloud.rekor_v1_kms
  rekor_v1_public_key = module.cloud.rekor_v1_public_key
  service_account     = module.cloud.service_account
  environment         = module.cloud.environment
  reachable           = var.initialized
  image               = { registry = "example.azurecr.io", tag = "1.0" }
  gateways            = [{ name = "gateway", namespace = "gateways" }]
  from                = [{ namespaceSelector = { matchLabels = { "kubernetes.io/metadata.name" = "gateways" } } }]
}

output "vkey" {
  value = module.log.vkey
}

output "trusted_root" {
  value = module.log.trusted_root
}
