# A log on AWS, in a network that is there. First: logcli keygen --origin log.example.com log.key
#
#   export TF_VAR_log_key="$(cat log.key)"
#   terraform apply -var vkey=…                          # what logcli keygen printed
#   eval "$(terraform output -raw init_command)"         # once
#   terraform apply -var vkey=… -var initialized=true
terraform {
  required_version = ">= 1.11.0"
  required_providers {
    aws = { source = "hashicorp/aws", version = ">= 6.0.0, < 7.0.0" }
  }
}

provider "aws" {
  region = "eu-central-1"
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

variable "initialized" {
  type    = bool
  default = false
}

module "log" {
  source = "../../aws"

  host        = "log.example.com"
  vkey        = var.vkey
  log_key     = var.log_key
  initialized = var.initialized
  image       = "111122223333.dkr.ecr.eu-central-1.amazonaws.com/logserver@sha256:0000000000000000000000000000000000000000000000000000000000000000"

  ecr_repository_arn       = "arn:aws:ecr:eu-central-1:111122223333:repository/logserver"
  vpc_id                   = "vpc-0123456789abcdef0"
  private_subnet_ids       = ["subnet-0123456789abcdef1", "subnet-0123456789abcdef2"]
  load_balancer_subnet_ids = ["subnet-0123456789abcdef3", "subnet-0123456789abcdef4"]
  certificate_arn          = "arn:aws:acm:eu-central-1:111122223333:certificate/01234567-89ab-cdef-0123-456789abcdef"
  client_cidrs             = ["10.0.0.0/8"]
  writer_cidrs             = ["10.20.0.0/16"]
  alarm_actions            = ["arn:aws:sns:eu-central-1:111122223333:on-call"]
}

output "vkey" {
  value = module.log.vkey
}

output "trusted_root" {
  value = module.log.trusted_root
}

output "init_command" {
  value = module.log.init_command
}

output "static_url" {
  value = module.log.static_url
}
