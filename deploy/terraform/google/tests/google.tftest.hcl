# What must hold of every log on this module. No cloud is needed: terraform init && terraform test
mock_provider "google" {
  override_during = plan
  mock_resource "google_sql_database_instance" {
    defaults = { dns_name = "abc.def.europe-west3.sql.goog.", server_ca_cert = [{ cert = "-----BEGIN CERTIFICATE-----", common_name = "", create_time = "", expiration_time = "", sha1_fingerprint = "" }] }
  }
  mock_resource "google_container_cluster" {
    defaults = { endpoint = "10.0.0.2", master_auth = [{ cluster_ca_certificate = "Y2E=" }] }
  }
  mock_resource "google_kms_crypto_key" {
    defaults = { id = "projects/p/locations/europe-west3/keyRings/indelible/cryptoKeys/rekor-v1" }
  }
}

variables {
  database_password   = "a password"
  register_password   = "another password"
  project             = "p"
  project_number      = "1"
  region              = "europe-west3"
  network             = "projects/p/global/networks/n"
  subnetwork          = "projects/p/regions/europe-west3/subnetworks/s"
  control_plane_cidrs = ["10.30.0.0/24"]
}

run "a_log" {
  command = plan

  assert {
    condition = alltrue([for i in google_sql_database_instance.of : i.deletion_protection && i.settings[0].deletion_protection_enabled && i.settings[0].retain_backups_on_delete
      && i.settings[0].availability_type == "REGIONAL" && i.settings[0].backup_configuration[0].enabled && i.settings[0].backup_configuration[0].binary_log_enabled
    && !i.settings[0].ip_configuration[0].ipv4_enabled && i.settings[0].ip_configuration[0].ssl_mode == "ENCRYPTED_ONLY"]) && length(google_sql_database_instance.of) == 2
    error_message = "Two databases, each protected against deletion, restorable to any second, in two zones, private, with TLS."
  }
  assert {
    condition     = alltrue([for i in google_sql_database_instance.of : length([for f in i.settings[0].database_flags : f if contains(["innodb_flush_log_at_trx_commit", "sync_binlog"], f.name) && f.value == "1"]) == 2])
    error_message = "The databases lose nothing that they acknowledged."
  }
  assert {
    condition     = alltrue([for u in google_sql_user.log : u.password == null]) && length(google_sql_user.log) == 2
    error_message = "No secret is an ordinary argument."
  }
  assert {
    condition = (google_kms_crypto_key.rekor_v1.version_template[0].algorithm == "EC_SIGN_P256_SHA256" && google_kms_crypto_key.rekor_v1.destroy_scheduled_duration == "2592000s"
    && alltrue([for m in google_kms_crypto_key_iam_member.log : endswith(m.member, "/subject/ns/logs/sa/log") && startswith(m.role, "roles/cloudkms.") && !strcontains(m.role, "admin")]))
    error_message = "One service account may sign with one key of P-256, and administer none."
  }
  assert {
    condition = (google_container_cluster.log.deletion_protection && google_container_cluster.log.private_cluster_config[0].enable_private_nodes
    && google_container_cluster.log.database_encryption[0].state == "ENCRYPTED" && [for c in google_container_cluster.log.master_authorized_networks_config[0].cidr_blocks : c.cidr_block] == ["10.30.0.0/24"])
    error_message = "The cluster is private, protected against deletion, its secrets are encrypted, and its control plane is for the networks named."
  }
  assert {
    condition     = output.rekor_v1_kms == "gcpkms://projects/p/locations/europe-west3/keyRings/indelible/cryptoKeys/rekor-v1/cryptoKeyVersions/1"
    error_message = "The key of Rekor v1 is ${output.rekor_v1_kms}."
  }
  assert {
    condition     = length(google_monitoring_alert_policy.database) == 2
    error_message = "Alarms watch the databases' disks and processors."
  }
}
