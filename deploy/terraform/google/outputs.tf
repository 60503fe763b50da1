output "database_address" {
  description = "The end of the log's DSN: database_dsn of the module kubernetes is indelible:PASSWORD@ and this."
  value       = "tcp(${trimsuffix(google_sql_database_instance.of["log"].dns_name, ".")}:3306)/indelible"
}

output "register_address" {
  description = "The end of the register's DSN."
  value       = "tcp(${trimsuffix(google_sql_database_instance.of["register"].dns_name, ".")}:3306)/indelible"
}

output "database_authorities" {
  description = "For database_authorities of the module kubernetes."
  value       = join("\n", distinct(flatten([for i in google_sql_database_instance.of : i.server_ca_cert[*].cert])))
}

output "rekor_v1_kms" {
  description = "For rekor_v1_kms of the module kubernetes."
  value       = "gcpkms://${google_kms_crypto_key.rekor_v1.id}/cryptoKeyVersions/1"
}

output "rekor_v1_public_key" {
  description = "For rekor_v1_public_key of the module kubernetes."
  value       = replace(join("", regexall("(?m)^[A-Za-z0-9+/=]+$", data.google_kms_crypto_key_version.rekor_v1.public_key[0].pem)), "\n", "")
}

output "cluster" {
  description = "For the providers kubernetes and helm."
  value = {
    host                   = "https://${google_container_cluster.log.endpoint}"
    cluster_ca_certificate = one(google_container_cluster.log.master_auth[*].cluster_ca_certificate)
  }
}

output "password_version" {
  description = "For dsn_version of the module kubernetes."
  value       = var.password_version
}
