# What must hold of every log on this module. No cloud is needed: terraform init && terraform test
mock_provider "azurerm" {
  override_during = plan
  mock_resource "azurerm_mysql_flexible_server" {
    defaults = { id = "/subscriptions/0/resourceGroups/logs/providers/Microsoft.DBforMySQL/flexibleServers/a", fqdn = "a.mysql.database.azure.com" }
  }
  mock_resource "azurerm_key_vault" {
    defaults = { id = "/subscriptions/0/resourceGroups/logs/providers/Microsoft.KeyVault/vaults/example-keys", vault_uri = "https://example-keys.vault.azure.net/" }
  }
  mock_resource "azurerm_key_vault_key" {
    defaults = { resource_versionless_id = "/subscriptions/0/resourceGroups/logs/providers/Microsoft.KeyVault/vaults/example-keys/keys/rekor-v1", public_key_pem = "-----BEGIN PUBLIC KEY-----\nMFkwEwYH\nKoZIzj0=\n-----END PUBLIC KEY-----\n" }
  }
  mock_resource "azurerm_user_assigned_identity" {
    defaults = { id = "/subscriptions/0/resourceGroups/logs/providers/Microsoft.ManagedIdentity/userAssignedIdentities/a", principal_id = "00000000-0000-0000-0000-000000000003", client_id = "00000000-0000-0000-0000-000000000004" }
  }
  mock_resource "azurerm_kubernetes_cluster" {
    defaults = { oidc_issuer_url = "https://issuer.example/" }
  }
}

variables {
  name                    = "example"
  resource_group          = "logs"
  location                = "germanywestcentral"
  tenant_id               = "00000000-0000-0000-0000-000000000001"
  network_id              = "/subscriptions/0/network"
  database_subnet_id      = "/subscriptions/0/network/databases"
  cluster_subnet_id       = "/subscriptions/0/network/cluster"
  control_plane_cidrs     = ["203.0.113.0/24"]
  administrators_group_id = "00000000-0000-0000-0000-000000000002"
  database_password       = "a password"
  register_password       = "another password"
}

run "a_log" {
  command = plan

  assert {
    condition = alltrue([for s in azurerm_mysql_flexible_server.of : s.backup_retention_days == 35 && s.geo_redundant_backup_enabled && s.high_availability[0].mode == "ZoneRedundant"
    && s.delegated_subnet_id == var.database_subnet_id]) && length(azurerm_mysql_flexible_server.of) == 2
    error_message = "Two databases, each restorable to any second of 35 days, in two zones, in the network alone."
  }
  assert {
    condition     = alltrue([for l in azurerm_management_lock.of : l.lock_level == "CanNotDelete"]) && length(azurerm_management_lock.of) == 2
    error_message = "The databases are protected against deletion."
  }
  assert {
    condition     = length([for c in azurerm_mysql_flexible_server_configuration.of : c if c.name == "require_secure_transport" && c.value == "ON" || c.name == "innodb_flush_log_at_trx_commit" && c.value == "1"]) == 4
    error_message = "The databases demand TLS, and lose nothing that they acknowledged."
  }
  assert {
    condition     = alltrue([for s in azurerm_mysql_flexible_server.of : s.administrator_password == null])
    error_message = "No secret is an ordinary argument."
  }
  assert {
    condition = (azurerm_key_vault.log.purge_protection_enabled && azurerm_key_vault.log.soft_delete_retention_days == 90 && azurerm_key_vault.log.network_acls[0].default_action == "Deny"
    && azurerm_key_vault_key.rekor_v1.curve == "P-256" && toset(azurerm_key_vault_key.rekor_v1.key_opts) == toset(["sign", "verify"]))
    error_message = "A deleted key comes back for 90 days; the vault is closed to other networks."
  }
  assert {
    condition = (endswith(azurerm_role_assignment.log.scope, "/keys/rekor-v1") && azurerm_role_assignment.log.role_definition_name == "Key Vault Crypto User"
    && azurerm_federated_identity_credential.log.subject == "system:serviceaccount:logs:log")
    error_message = "One service account may use one key, and administer none."
  }
  assert {
    condition     = azurerm_kubernetes_cluster.log.local_account_disabled && azurerm_kubernetes_cluster.log.workload_identity_enabled && toset(azurerm_kubernetes_cluster.log.api_server_access_profile[0].authorized_ip_ranges) == toset(var.control_plane_cidrs)
    error_message = "The cluster has no account of its own, whose certificate would be in the state, and its control plane is for the networks named."
  }
  assert {
    condition     = output.rekor_v1_kms == "azurekms://example-keys.vault.azure.net/rekor-v1" && output.rekor_v1_public_key == "MFkwEwYHKoZIzj0="
    error_message = "The key of Rekor v1 is ${output.rekor_v1_kms}, ${output.rekor_v1_public_key}."
  }
  assert {
    condition     = length(azurerm_monitor_metric_alert.database) == 4
    error_message = "Alarms watch the databases' disks and processors."
  }
}
