# Indelible on AWS: Fargate, RDS, S3, KMS, CloudFront. See docs/terraform.md.
terraform {
  required_version = ">= 1.11.0" # write-only arguments
  required_providers {
    aws    = { source = "hashicorp/aws", version = ">= 6.0.0, < 7.0.0" }
    http   = { source = "hashicorp/http", version = ">= 3.4.0" }
    random = { source = "hashicorp/random", version = ">= 3.7.0" }
  }
}

data "aws_region" "here" {}
data "aws_caller_identity" "me" {}

locals {
  region  = data.aws_region.here.region
  account = data.aws_caller_identity.me.account_id
  url     = "https://${var.host}"
}
