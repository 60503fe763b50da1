# A log on Google Cloud, in a network that is there. First: logcli keygen --origin log.example.com log.key
#
#   export TF_VAR_log_key="$(cat log.key)"
#   export TF_VAR_database_password="$(openssl rand -hex 24)" TF_VAR_register_password="$(openssl rand -hex 24)"
#   terraform apply -var vkey=… -target=module.cloud     # the cluster must be there before something is put into it
#   terraform apply -var vkey=…                          # the log: a job of the chart makes it
#   terraform apply -var vkey=… -var initialized=true    # once the host reaches the log
terraform {
  required_version = ">= 1.11.0"
  required_providers {
    google     = { source = "hashicorp/google", version = ">= 6.25.0, < 8.0.0" }
    helm       = { source = "hashicorp/helm", version = ">= 3.0.0, < 4.0.0" }
    kubernetes = { source = "hashicorp/kubernetes", version = ">= 2.36.0, < 3.0.0" }
  }
}

provider "google" {
  project = "a-project"
  region  = "europe-west3"
}

# A token for each call, which no state has.
provider "kubernetes" {
  host                   = module.cloud.cluster.host
  cluster_ca_certificate = try(base64decode(module.cloud.cluster.cluster_ca_certificate), null)
  exec {
    api_version = "client.authentication.k8s.io/v1"
    command     = "gke-gcloud-auth-plugin"
  }
}

provider "helm" {
  kubernetes = {
    host                   = module.cloud.cluster.host
    cluster_ca_certificate = try(base64decode(module.cloud.cluster.cluster_ca_certificate), null)
    exec = {
      api_version = "client.authentication.k8s.io/v1"
      command     = "gke-gcloud-auth-plugin"
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
  source = "../../google"

  database_password   = var.database_password
  register_password   = var.register_password
  project             = "a-project"
  project_number      = "123456789012"
  region              = "europe-west3"
  network             = "projects/a-project/global/networks/main"
  subnetwork          = "projects/a-project/regions/europe-west3/subnetworks/main"
  control_plane_cidrs = ["10.30.0.0/24"]
}

module "log" {
  source = "../../kubernetes"

  host                 = "log.example.com"
  vkey                 = var.vkey
  log_key              = var.log_key
  database_dsn         = var.database_password == null ? null : "indelible:${var.database_password}@${module.cloud.database_address}"
  register_dsn         = var.register_password == null ? null : "indelible:${var.register_password}@${module.cloud.register_address}"
  dsn_version          = module.cloud.password_version
  database_authorities = module.cloud.database_authorities
  rekor_v1_kms         = module.cloud.rekor_v1_kms
  rekor_v1_public_key  = module.cloud.rekor_v1_public_key
  service_account      = {}
  reachable            = var.initialized
  image                = { registry = "europe-docker.pkg.dev/a-project/images", tag = "1.0" }
  gateways             = [{ name = "gateway", namespace = "gateways" }]
  from                 = [{ namespaceSelector = { matchLabels = { "kubernetes.io/metadata.name" = "gateways" } } }]
}

output "vkey" {
  value = module.log.vkey
}

output "trusted_root" {
  value = module.log.trusted_root
}
