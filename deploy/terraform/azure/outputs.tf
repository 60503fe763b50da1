output "database_address" {
  description = "The end of the log's DSN: database_dsn of the module kubernetes is indelible:PASSWORD@ and this."
  value       = "tcp(${azurerm_mysql_flexible_server.of["log"].fqdn}:3306)/indelible?tls=true"
}

output "register_address" {
  description = "The end of the register's DSN."
  value       = "tcp(${azurerm_mysql_flexible_server.of["register"].fqdn}:3306)/indelible?tls=true"
}

output "rekor_v1_kms" {
  description = "For rekor_v1_kms of the module kubernetes."
  value       = "azurekms://${trimsuffix(trimprefix(azurerm_key_vault.log.vault_uri, "https://"), "/")}/${azurerm_key_vault_key.rekor_v1.name}"
}

output "rekor_v1_public_key" {
  description = "For rekor_v1_public_key of the module kubernetes."
  value       = join("", regexall("(?m)^[A-Za-z0-9+/=]+$", azurerm_key_vault_key.rekor_v1.public_key_pem))
}

output "service_account" {
  description = "For service_account of the module kubernetes."
  value = {
    annotations = { "azure.workload.identity/client-id" = azurerm_user_assigned_identity.log.client_id }
    pod_labels  = { "azure.workload.identity/use" = "true" }
  }
}

output "environment" {
  description = "For environment of the module kubernetes: where the key service is asked for an identity."
  value       = [{ name = "AZURE_TENANT_ID", value = var.tenant_id }]
}

output "cluster" {
  description = "For the providers kubernetes and helm."
  value = {
    host                   = one(azurerm_kubernetes_cluster.log.kube_config[*].host)
    cluster_ca_certificate = one(azurerm_kubernetes_cluster.log.kube_config[*].cluster_ca_certificate)
  }
  sensitive = true
}

output "password_version" {
  description = "For dsn_version of the module kubernetes."
  value       = var.password_version
}
