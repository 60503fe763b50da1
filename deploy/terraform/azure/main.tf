# What a log needs of Azure: two databases, a key vault, a cluster and an identity. The log itself is run by the module
# kubernetes, with this module's outputs: see examples/azure and docs/terraform.md.
#
# The register is in a second server of Azure Database for MySQL: Blob Storage has no S3 interface, which logserver
# needs for a register or a publication in an object store.
terraform {
  required_version = ">= 1.11.0" # write-only arguments
  required_providers {
    azurerm = { source = "hashicorp/azurerm", version = ">= 4.23.0, < 5.0.0" }
  }
}

variable "name" {
  description = "Beginning of the names of all resources; the key vault's and the servers' are public names, which must be free."
  type        = string
  nullable    = false
  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{2,15}$", var.name))
    error_message = "3 to 16 small letters, digits and hyphens, a letter first."
  }
}

variable "resource_group" {
  description = "A resource group that is there."
  type        = string
  nullable    = false
}

variable "location" {
  type     = string
  nullable = false
}

variable "tenant_id" {
  type     = string
  nullable = false
}

variable "network_id" {
  description = "The virtual network of cluster and databases."
  type        = string
  nullable    = false
}

variable "database_subnet_id" {
  description = "A subnet that is delegated to Microsoft.DBforMySQL/flexibleServers."
  type        = string
  nullable    = false
}

variable "cluster_subnet_id" {
  description = "The nodes' subnet, with the service endpoint Microsoft.KeyVault."
  type        = string
  nullable    = false
}

variable "control_plane_cidrs" {
  description = "Networks that may reach the cluster's control plane: that of Terraform among them."
  type        = list(string)
  nullable    = false
}

variable "administrators_group_id" {
  description = "The group (Entra ID) whose members administer the cluster."
  type        = string
  nullable    = false
}

variable "database_version" {
  description = "The log is tested on MySQL 9.7 and MariaDB; not on MySQL 8.4, which is what Azure has."
  type        = string
  default     = "8.4"
}

variable "database_sku" {
  description = "Machines of the log's database and of the register's."
  type        = object({ log = string, register = string })
  default     = { log = "GP_Standard_D4ds_v4", register = "GP_Standard_D2ds_v4" }
}

variable "database_password" {
  description = "Password of the log's database: letters of both kinds and digits, as of openssl rand -base64 36 without its signs. It is in neither plan nor state. Give it, and register_password, whenever password_version is new; else null."
  type        = string
  sensitive   = true
  ephemeral   = true
  default     = null
}

variable "register_password" {
  description = "Password of the register's database: another one."
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

variable "nodes" {
  type    = object({ size = string, count = number })
  default = { size = "Standard_D4ds_v5", count = 3 }
}

variable "namespace" {
  description = "Namespace and service account of the log in the cluster, which the identity is for."
  type        = object({ name = string, service_account = string })
  default     = { name = "logs", service_account = "log" }
}

variable "action_group_ids" {
  description = "Where alarms go: ids of action groups."
  type        = list(string)
  default     = []
}

variable "tags" {
  type    = map(string)
  default = {}
}

locals {
  databases = {
    log      = { sku = var.database_sku.log, disk = 128 }
    register = { sku = var.database_sku.register, disk = 20 }
  }
}

resource "azurerm_private_dns_zone" "database" {
  name                = "${var.name}.private.mysql.database.azure.com"
  resource_group_name = var.resource_group
  tags                = var.tags
}

resource "azurerm_private_dns_zone_virtual_network_link" "database" {
  name                  = var.name
  resource_group_name   = var.resource_group
  private_dns_zone_name = azurerm_private_dns_zone.database.name
  virtual_network_id    = var.network_id
  tags                  = var.tags
}

# The log's database and the register's: two servers, with backups of their own. Never restore both.
resource "azurerm_mysql_flexible_server" "of" {
  for_each            = local.databases
  name                = "${var.name}-${each.key}"
  resource_group_name = var.resource_group
  location            = var.location
  version             = var.database_version
  sku_name            = each.value.sku
  tags                = var.tags

  administrator_login               = "indelible"
  administrator_password_wo         = each.key == "log" ? var.database_password : var.register_password
  administrator_password_wo_version = var.password_version

  delegated_subnet_id = var.database_subnet_id # it has no public address
  private_dns_zone_id = azurerm_private_dns_zone.database.id

  backup_retention_days        = 35 # restores to any second of them
  geo_redundant_backup_enabled = true

  high_availability {
    mode = "ZoneRedundant"
  }
  storage {
    size_gb           = each.value.disk
    auto_grow_enabled = true
  }

  lifecycle {
    prevent_destroy = true
    ignore_changes  = [zone, high_availability[0].standby_availability_zone] # a failover changes them
  }
  depends_on = [azurerm_private_dns_zone_virtual_network_link.database]
}

# Azure has no deletion protection of its own for these; a lock is that, for everybody.
resource "azurerm_management_lock" "of" {
  for_each   = local.databases
  name       = "${var.name}-${each.key}"
  scope      = azurerm_mysql_flexible_server.of[each.key].id
  lock_level = "CanNotDelete"
  notes      = "A transparency log's memory."
  lifecycle {
    prevent_destroy = true
  }
}

resource "azurerm_mysql_flexible_server_configuration" "of" {
  for_each = merge([for d in keys(local.databases) : {
    for name, value in { innodb_flush_log_at_trx_commit = "1", require_secure_transport = "ON", max_allowed_packet = "16777216" } : "${d}/${name}" => { database = d, name = name, value = value }
  }]...)
  name                = each.value.name
  value               = each.value.value
  resource_group_name = var.resource_group
  server_name         = azurerm_mysql_flexible_server.of[each.value.database].name
}

resource "azurerm_mysql_flexible_database" "of" {
  for_each            = local.databases
  name                = "indelible"
  resource_group_name = var.resource_group
  server_name         = azurerm_mysql_flexible_server.of[each.key].name
  charset             = "utf8mb4"
  collation           = "utf8mb4_bin"
  lifecycle {
    prevent_destroy = true
  }
}

# Rekor v1's API signs with a key that stays here.
resource "azurerm_key_vault" "log" {
  name                          = "${var.name}-keys"
  resource_group_name           = var.resource_group
  location                      = var.location
  tenant_id                     = var.tenant_id
  sku_name                      = "premium"
  rbac_authorization_enabled    = true
  purge_protection_enabled      = true
  soft_delete_retention_days    = 90
  public_network_access_enabled = true
  tags                          = var.tags
  network_acls {
    default_action             = "Deny"
    bypass                     = "None"
    ip_rules                   = var.control_plane_cidrs
    virtual_network_subnet_ids = [var.cluster_subnet_id]
  }
  lifecycle {
    prevent_destroy = true
  }
}

resource "azurerm_key_vault_key" "rekor_v1" {
  name         = "rekor-v1"
  key_vault_id = azurerm_key_vault.log.id
  key_type     = "EC-HSM"
  curve        = "P-256"
  key_opts     = ["sign", "verify"]
  tags         = var.tags
  lifecycle {
    prevent_destroy = true
  }
}

# The pods of one service account in one namespace may use this one key, and nothing else.
resource "azurerm_user_assigned_identity" "log" {
  name                = var.name
  resource_group_name = var.resource_group
  location            = var.location
  tags                = var.tags
}

resource "azurerm_federated_identity_credential" "log" {
  name                = var.name
  resource_group_name = var.resource_group
  parent_id           = azurerm_user_assigned_identity.log.id
  issuer              = azurerm_kubernetes_cluster.log.oidc_issuer_url
  subject             = "system:serviceaccount:${var.namespace.name}:${var.namespace.service_account}"
  audience            = ["api://AzureADTokenExchange"]
}

resource "azurerm_role_assignment" "log" {
  scope                = azurerm_key_vault_key.rekor_v1.resource_versionless_id
  role_definition_name = "Key Vault Crypto User"
  principal_id         = azurerm_user_assigned_identity.log.principal_id
  principal_type       = "ServicePrincipal"
}

resource "azurerm_kubernetes_cluster" "log" {
  name                      = var.name
  resource_group_name       = var.resource_group
  location                  = var.location
  dns_prefix                = var.name
  sku_tier                  = "Standard"
  automatic_upgrade_channel = "stable"
  oidc_issuer_enabled       = true
  workload_identity_enabled = true
  local_account_disabled    = true # its certificates would be in the state
  run_command_enabled       = false
  tags                      = var.tags

  default_node_pool {
    name           = "nodes"
    vm_size        = var.nodes.size
    node_count     = var.nodes.count
    vnet_subnet_id = var.cluster_subnet_id
    zones          = ["1", "2", "3"]
    upgrade_settings {
      max_surge = "33%"
    }
  }
  identity {
    type = "SystemAssigned"
  }
  network_profile {
    network_plugin      = "azure"
    network_plugin_mode = "overlay"
    network_data_plane  = "cilium"
    network_policy      = "cilium"
  }
  api_server_access_profile {
    authorized_ip_ranges = var.control_plane_cidrs
  }
  azure_active_directory_role_based_access_control {
    azure_rbac_enabled     = true
    admin_group_object_ids = [var.administrators_group_id]
  }
}

# The log's own alarms are the chart's, by Prometheus. These are the databases'.
resource "azurerm_monitor_metric_alert" "database" {
  for_each            = merge([for d in keys(local.databases) : { for m in ["storage_percent", "cpu_percent"] : "${d}/${m}" => { database = d, metric = m } }]...)
  name                = "${var.name}-${each.value.database}-${each.value.metric}"
  resource_group_name = var.resource_group
  scopes              = [azurerm_mysql_flexible_server.of[each.value.database].id]
  description         = "${each.value.metric} of the ${each.value.database}'s database is above 85."
  severity            = 1
  window_size         = "PT5M"
  frequency           = "PT1M"
  tags                = var.tags
  criteria {
    metric_namespace = "Microsoft.DBforMySQL/flexibleServers"
    metric_name      = each.value.metric
    aggregation      = "Average"
    operator         = "GreaterThan"
    threshold        = 85
  }
  dynamic "action" {
    for_each = var.action_group_ids
    content {
      action_group_id = action.value
    }
  }
}
