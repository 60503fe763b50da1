variable "name" {
  description = "The release's name, and the beginning of the names of all objects."
  type        = string
  default     = "log"
}

variable "namespace" {
  type    = string
  default = "logs"
}

variable "host" {
  description = "The log's host name. It is also its origin, the first line of every checkpoint, which can never change."
  type        = string
  nullable    = false
}

variable "vkey" {
  description = "The vkey that logcli keygen --origin HOST printed."
  type        = string
  nullable    = false
  validation {
    condition     = startswith(var.vkey, "${var.host}+")
    error_message = "The vkey has another name than host: make the key with logcli keygen --origin HOST."
  }
}

variable "log_key" {
  description = "The content of the file that logcli keygen --origin HOST made. It is in neither plan nor state. Give it, and the other ephemeral variables, whenever their version is new; else null."
  type        = string
  sensitive   = true
  ephemeral   = true
  default     = null
}

variable "rekor_v1_key" {
  description = "The content of the key file for Rekor v1 (logcli keygen FILE), unless rekor_v1_kms is given."
  type        = string
  sensitive   = true
  ephemeral   = true
  default     = null
}

variable "keys_version" {
  description = "Raise it to store the keys once more."
  type        = number
  default     = 1
}

variable "database_dsn" {
  description = "The DSN of the log's database, user:password@tcp(host:3306)/database."
  type        = string
  sensitive   = true
  ephemeral   = true
  default     = null
}

variable "register_dsn" {
  description = "The DSN of the register's database: another server than the log's, or at least another backup."
  type        = string
  sensitive   = true
  ephemeral   = true
  default     = null
}

variable "dsn_version" {
  description = "Raise it to store the DSNs once more, as after a new password. Servers read them when they next connect."
  type        = number
  default     = 1
}

variable "rekor_v1_kms" {
  description = "A key in a key management service that Rekor v1's API signs with (awskms://…), instead of rekor_v1_key."
  type        = string
  default     = ""
}

variable "rekor_v1_public_key" {
  description = "The public key of the Rekor v1 API, DER in base64, to compare the served trusted root with. null: it is not compared."
  type        = string
  default     = null
}

variable "reachable" {
  description = "Whether https://HOST reaches the log from where Terraform runs. Until then trusted_root is null."
  type        = bool
  default     = false
}

variable "database_authorities" {
  description = "Certificates (PEM) of the authorities that the servers of database and register are verified by. null: those that browsers trust, with tls=true in the DSNs."
  type        = string
  default     = null
}

variable "service_account" {
  description = "Annotations of a service account, and labels of pods, that make the log's pods an identity in the cloud. null: they have none."
  type        = object({ annotations = optional(map(string), {}), pod_labels = optional(map(string), {}) })
  default     = null
}

variable "environment" {
  description = "More variables of the servers' environment, each with name and value."
  type        = list(object({ name = string, value = string }))
  default     = []
}

variable "chart" {
  description = "Where the chart is; by default the folder charts/indelible of this repository."
  type        = object({ name = optional(string), repository = optional(string), version = optional(string) })
  default     = {}
}

variable "image" {
  type     = object({ registry = string, tag = string })
  nullable = false
}

variable "replicas" {
  type    = number
  default = 2
}

variable "gateways" {
  description = "Gateways (parentRefs of an HTTPRoute) that clients reach the log by."
  type        = list(map(string))
  default     = []
}

variable "read_only" {
  description = "Whether the gateways let only GET and HEAD through. Everyone who reaches the log may write."
  type        = bool
  default     = true
}

variable "from" {
  description = "Peers (of a NetworkPolicy) that may reach the log's ports."
  type        = any
  nullable    = false
  validation {
    condition     = length(var.from) > 0
    error_message = "Name at least one peer, such as the gateway's namespace: an empty list lets everyone in the cluster write to the log."
  }
}

variable "prometheus_operator" {
  description = "Whether the cluster has the Prometheus operator: alarms and a scrape are made."
  type        = bool
  default     = true
}

variable "metrics_from" {
  description = "Peers that may reach the admin port: Prometheus. The port has profiles, too."
  type        = any
  default     = [{ namespaceSelector = { matchLabels = { "kubernetes.io/metadata.name" = "monitoring" } } }]
}

variable "values" {
  description = "More values of the chart, each a YAML text; the later wins."
  type        = list(string)
  default     = []
}
