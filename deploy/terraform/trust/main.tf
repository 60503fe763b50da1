# What others need to trust the log: its vkey, and Sigstore's trusted root.
#
# The vkey is given, since its key was made before the log (logcli keygen --origin). So it is known before
# anything is deployed, and does not rest on what the server says of itself. The trusted root is read from
# the server, which alone knows since when its keys hold, and refused if it has another key.

terraform {
  required_version = ">= 1.11.0"
  required_providers {
    http = {
      source  = "hashicorp/http"
      version = ">= 3.4.0"
    }
  }
}

variable "vkey" {
  description = "The log's vkey, as logcli keygen --origin printed it: NAME+HASH+KEY."
  type        = string
  nullable    = false
  validation {
    condition     = can(regex("^[^+\\s]+\\+[0-9a-f]{8}\\+A[Q-Za-f][A-Za-z0-9+/]{42}$", var.vkey))
    error_message = "It is not a vkey of an Ed25519 key (NAME+HASH+KEY); use the line that logcli keygen --origin NAME printed."
  }
}

variable "url" {
  description = "Where clients reach the log, such as https://log.example.com."
  type        = string
  nullable    = false
}

variable "rekor_v1_key" {
  description = "The public key of the Rekor v1 API, DER in base64. null: the key that the server shows is not compared."
  type        = string
  default     = null
}

variable "initialized" {
  description = "Whether logserver init has run and the server answers at url. Before that, trusted_root is null."
  type        = bool
  nullable    = false
}

locals {
  # A vkey has the algorithm (one byte, 1) before the key. Here they are taken apart, bit by bit.
  alphabet = split("", "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/")
  encoded  = regex("^[^+]+\\+[0-9a-f]{8}\\+(.*)$", var.vkey)[0]
  bits     = join("", [for c in split("", local.encoded) : format("%06b", index(local.alphabet, c))])
  key      = join("", [for six in regexall("[01]{6}", "${substr(local.bits, 8, 256)}00") : local.alphabet[parseint(six, 2)]])
  # The same key as DER (SubjectPublicKeyInfo) in base64: a fixed beginning of 12 bytes, and the key.
  spki = "MCowBQYDK2VwAyEA${local.key}="
}

data "http" "vkey" {
  count = var.initialized ? 1 : 0
  url   = "${var.url}/log.vkey"
  lifecycle {
    postcondition {
      condition     = self.status_code == 200 && contains(split("\n", self.response_body), var.vkey)
      error_message = "The server at ${var.url} does not have the key of vkey. Find out which log answers there before you trust it."
    }
  }
}

data "http" "trusted_root" {
  count = var.initialized ? 1 : 0
  url   = "${var.url}/trust/trusted_root.json"
  lifecycle {
    postcondition {
      condition = self.status_code == 200 && length(setsubtract(
        [for l in try(jsondecode(self.response_body).tlogs, []) : l.publicKey.rawBytes if l.publicKey.keyDetails == "PKIX_ED25519"], [local.spki])) == 0 && contains(
      [for l in try(jsondecode(self.response_body).tlogs, []) : l.publicKey.rawBytes], local.spki)
      error_message = "The trusted root that ${var.url} serves does not have the key of vkey, or has another of the log's."
    }
    postcondition {
      condition     = var.rekor_v1_key == null || alltrue([for l in try(jsondecode(self.response_body).tlogs, []) : l.publicKey.rawBytes == var.rekor_v1_key if startswith(l.publicKey.keyDetails, "PKIX_ECDSA_")])
      error_message = "The trusted root that ${var.url} serves has another key of Rekor v1 than the key management service."
    }
  }
}

output "vkey" {
  description = "The log's vkey; once the log is initialized, the server's own too."
  value       = var.initialized ? (data.http.vkey[0].status_code == 200 ? var.vkey : null) : var.vkey
}

output "trusted_root" {
  description = "trusted_root.json for Sigstore's clients (cosign --trusted-root); null until the log is initialized."
  value       = var.initialized ? data.http.trusted_root[0].response_body : null
}

output "spki" {
  description = "The log's public key, DER in base64."
  value       = local.spki
}
