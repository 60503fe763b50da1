output "vkey" {
  description = "The log's vkey, for verifiers."
  value       = module.trust.vkey
}

output "trusted_root" {
  description = "trusted_root.json for Sigstore's clients; null until reachable."
  value       = module.trust.trusted_root
}

output "url" {
  value = local.url
}
