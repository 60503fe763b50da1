# What a log needs of Google Cloud: two databases, a key service, a cluster and an identity. The log itself is
# run by the module kubernetes, with this module's outputs: see examples/google and docs/terraform.md.
#
# The register is in a second Cloud SQL instance. Cloud Storage has other conditions for writes than Amazon's If-Match
# and If-None-Match, so logserver keeps neither a register nor a publication there.
terraform {
  required_version = ">= 1.11.0" # write-only arguments
  required_providers {
    google = { source = "hashicorp/google", version = ">= 6.25.0, < 8.0.0" }
  }
}

variable "name" {
  description = "Beginning of the names of all resources."
  type        = string
  default     = "indelible"
}

variable "project" {
  type     = string
  nullable = false
}

variable "project_number" {
  type     = string
  nullable = false
}

variable "region" {
  type     = string
  nullable = false
}

variable "network" {
  description = "The VPC network (its id) of cluster and databases."
  type        = string
  nullable    = false
}

variable "subnetwork" {
  description = "The subnetwork (its id) of cluster and databases, in region."
  type        = string
  nullable    = false
}

variable "control_plane_cidrs" {
  description = "Networks that may reach the cluster's control plane: that of Terraform among them."
  type        = list(string)
  nullable    = false
}

variable "database_version" {
  description = "The log is tested on MySQL 9.7 and MariaDB; not on MySQL 8.4, which is what Cloud SQL has."
  type        = string
  default     = "MYSQL_8_4"
}

variable "database_tier" {
  description = "Machines of the log's database and of the register's."
  type        = object({ log = string, register = string })
  default     = { log = "db-custom-4-16384", register = "db-custom-1-3840" }
}

variable "database_password" {
  description = "Password of the log's database user: letters and digits, as of openssl rand -hex 24. It is in neither plan nor state. Give it, and register_password, whenever password_version is new; else null."
  type        = string
  sensitive   = true
  ephemeral   = true
  default     = null
}

variable "register_password" {
  description = "Password of the register's database user: another one."
  type        = string
  sensitive   = true
  ephemeral   = true
  default     = null
}

variable "password_version" {
  description = "Raise it to store the passwords once more."
  type        = number
  default     = 1
}

variable "namespace" {
  description = "Namespace and service account of the log in the cluster, which the identity is for."
  type        = object({ name = string, service_account = string })
  default     = { name = "logs", service_account = "log" }
}

variable "notification_channels" {
  description = "Where alarms go: ids of notification channels."
  type        = list(string)
  default     = []
}

locals {
  databases = {
    log      = { tier = var.database_tier.log, disk = 100 }
    register = { tier = var.database_tier.register, disk = 10 }
  }
}

# The log's database and the register's: two instances, with backups of their own. Never restore both.
resource "google_sql_database_instance" "of" {
  for_each            = local.databases
  name                = "${var.name}-${each.key}"
  project             = var.project
  region              = var.region
  database_version    = var.database_version
  deletion_protection = true

  settings {
    tier                        = each.value.tier
    edition                     = "ENTERPRISE"
    availability_type           = "REGIONAL"
    disk_type                   = "PD_SSD"
    disk_size                   = each.value.disk
    disk_autoresize             = true
    deletion_protection_enabled = true
    retain_backups_on_delete    = true

    backup_configuration {
      enabled                        = true
      binary_log_enabled             = true # with it, restores to any second
      start_time                     = "02:00"
      transaction_log_retention_days = 7
      backup_retention_settings {
        retention_unit   = "COUNT"
        retained_backups = 35
      }
    }

    ip_configuration {
      ipv4_enabled   = false
      ssl_mode       = "ENCRYPTED_ONLY"
      server_ca_mode = "GOOGLE_MANAGED_CAS_CA" # whose certificates have the instance's DNS name
      psc_config {
        psc_enabled               = true
        allowed_consumer_projects = [var.project]
      }
    }

    # What docs/mysql.md demands and Cloud SQL lets one set; the rest are its own settings.
    dynamic "database_flags" {
      for_each = { innodb_flush_log_at_trx_commit = "1", sync_binlog = "1", max_allowed_packet = "16777216" }
      content {
        name  = database_flags.key
        value = database_flags.value
      }
    }
  }

  lifecycle {
    prevent_destroy = true
  }
}

resource "google_sql_database" "of" {
  for_each        = local.databases
  name            = "indelible"
  project         = var.project
  instance        = google_sql_database_instance.of[each.key].name
  deletion_policy = "ABANDON"
  lifecycle {
    prevent_destroy = true
  }
}

# An address of each instance in the network, by the name that its certificate has.
resource "google_compute_address" "of" {
  for_each     = local.databases
  name         = "${var.name}-${each.key}"
  project      = var.project
  region       = var.region
  subnetwork   = var.subnetwork
  address_type = "INTERNAL"
}

resource "google_compute_forwarding_rule" "of" {
  for_each              = local.databases
  name                  = "${var.name}-${each.key}"
  project               = var.project
  region                = var.region
  network               = var.network
  ip_address            = google_compute_address.of[each.key].id
  target                = google_sql_database_instance.of[each.key].psc_service_attachment_link
  load_balancing_scheme = ""
}

resource "google_dns_managed_zone" "of" {
  for_each    = local.databases
  name        = "${var.name}-${each.key}"
  project     = var.project
  dns_name    = google_sql_database_instance.of[each.key].dns_name
  description = "${var.name}: the ${each.key}'s database"
  visibility  = "private"
  private_visibility_config {
    networks {
      network_url = var.network
    }
  }
}

resource "google_dns_record_set" "of" {
  for_each     = local.databases
  name         = google_sql_database_instance.of[each.key].dns_name
  project      = var.project
  managed_zone = google_dns_managed_zone.of[each.key].name
  type         = "A"
  ttl          = 300
  rrdatas      = [google_compute_address.of[each.key].address]
}

# A user of Cloud SQL has more rights than the log needs: it may make databases and users.
resource "google_sql_user" "log" {
  for_each            = local.databases
  name                = "indelible"
  host                = "%"
  project             = var.project
  instance            = google_sql_database_instance.of[each.key].name
  password_wo         = each.key == "log" ? var.database_password : var.register_password
  password_wo_version = var.password_version
  deletion_policy     = "ABANDON"
}

# Rekor v1's API signs with a key that stays here.
resource "google_kms_key_ring" "log" {
  name     = var.name
  project  = var.project
  location = var.region
  lifecycle {
    prevent_destroy = true
  }
}

resource "google_kms_crypto_key" "rekor_v1" {
  name                       = "rekor-v1"
  key_ring                   = google_kms_key_ring.log.id
  purpose                    = "ASYMMETRIC_SIGN"
  destroy_scheduled_duration = "2592000s"
  version_template {
    algorithm        = "EC_SIGN_P256_SHA256"
    protection_level = "HSM"
  }
  lifecycle {
    prevent_destroy = true
  }
}

data "google_kms_crypto_key_version" "rekor_v1" {
  crypto_key = google_kms_crypto_key.rekor_v1.id
  version    = 1
}

# The pods of one service account in one namespace may sign with this one key, and nothing else.
resource "google_kms_crypto_key_iam_member" "log" {
  for_each      = toset(["roles/cloudkms.signer", "roles/cloudkms.publicKeyViewer", "roles/cloudkms.viewer"])
  crypto_key_id = google_kms_crypto_key.rekor_v1.id
  role          = each.value
  member        = "principal://iam.googleapis.com/projects/${var.project_number}/locations/global/workloadIdentityPools/${var.project}.svc.id.goog/subject/ns/${var.namespace.name}/sa/${var.namespace.service_account}"
}

# Encrypts the secrets of the cluster, the log's key among them.
resource "google_kms_crypto_key" "cluster" {
  name                       = "cluster-secrets"
  key_ring                   = google_kms_key_ring.log.id
  rotation_period            = "7776000s"
  destroy_scheduled_duration = "2592000s"
  lifecycle {
    prevent_destroy = true
  }
}

resource "google_kms_crypto_key_iam_member" "cluster" {
  crypto_key_id = google_kms_crypto_key.cluster.id
  role          = "roles/cloudkms.cryptoKeyEncrypterDecrypter"
  member        = "serviceAccount:service-${var.project_number}@container-engine-robot.iam.gserviceaccount.com"
}

resource "google_container_cluster" "log" {
  name                = var.name
  project             = var.project
  location            = var.region
  enable_autopilot    = true
  network             = var.network
  subnetwork          = var.subnetwork
  deletion_protection = true

  private_cluster_config {
    enable_private_nodes = true
  }
  master_authorized_networks_config {
    dynamic "cidr_blocks" {
      for_each = toset(var.control_plane_cidrs)
      content {
        cidr_block = cidr_blocks.value
      }
    }
  }
  gateway_api_config {
    channel = "CHANNEL_STANDARD"
  }
  database_encryption {
    state    = "ENCRYPTED"
    key_name = google_kms_crypto_key.cluster.id
  }
  release_channel {
    channel = "REGULAR"
  }
  depends_on = [google_kms_crypto_key_iam_member.cluster]
}

# The log's own alarms are the chart's, by Prometheus. These are the databases'.
resource "google_monitoring_alert_policy" "database" {
  for_each              = { disk = { metric = "disk/utilization", over = 0.85 }, cpu = { metric = "cpu/utilization", over = 0.85 } }
  project               = var.project
  display_name          = "${var.name}: ${each.key} of a database"
  combiner              = "OR"
  notification_channels = var.notification_channels
  conditions {
    display_name = "${each.key} above ${each.value.over * 100} %"
    condition_threshold {
      filter          = join(" AND ", ["resource.type = \"cloudsql_database\"", "metric.type = \"cloudsql.googleapis.com/database/${each.value.metric}\"", "resource.labels.database_id = starts_with(\"${var.project}:${var.name}-\")"])
      comparison      = "COMPARISON_GT"
      threshold_value = each.value.over
      duration        = "300s"
      aggregations {
        alignment_period   = "60s"
        per_series_aligner = "ALIGN_MEAN"
      }
    }
  }
}
