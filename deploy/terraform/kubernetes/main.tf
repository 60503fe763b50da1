# Indelible in a Kubernetes cluster, by the chart: two replicas on a database and a register of yours. The chart's hook
# job makes the log before the first install. See docs/terraform.md and docs/kubernetes.md.
terraform {
  required_version = ">= 1.11.0" # write-only arguments
  required_providers {
    helm       = { source = "hashicorp/helm", version = ">= 3.0.0, < 4.0.0" }
    http       = { source = "hashicorp/http", version = ">= 3.4.0" }
    kubernetes = { source = "hashicorp/kubernetes", version = ">= 2.36.0, < 3.0.0" }
  }
}

locals {
  url     = "https://${var.host}"
  managed = { "app.kubernetes.io/part-of" = var.name }
  # The files of a secret are write-only; their names are not secret.
  key_files = merge({ "log.key" = var.log_key }, var.rekor_v1_kms == "" ? { "rekor-v1.key" = var.rekor_v1_key } : {})
}

resource "kubernetes_namespace_v1" "log" {
  metadata {
    name   = var.namespace
    labels = { "pod-security.kubernetes.io/enforce" = "restricted" }
  }
  lifecycle {
    prevent_destroy = true # the secrets with the log's keys go with it
  }
}

resource "kubernetes_secret_v1" "keys" {
  metadata {
    name      = "${var.name}-keys"
    namespace = kubernetes_namespace_v1.log.metadata[0].name
    labels    = local.managed
  }
  data_wo          = local.key_files
  data_wo_revision = var.keys_version
  lifecycle {
    prevent_destroy = true
  }
}

resource "kubernetes_secret_v1" "database" {
  metadata {
    name      = "${var.name}-database"
    namespace = kubernetes_namespace_v1.log.metadata[0].name
    labels    = local.managed
  }
  data_wo          = { dsn = var.database_dsn }
  data_wo_revision = var.dsn_version
}

resource "kubernetes_secret_v1" "register" {
  metadata {
    name      = "${var.name}-register"
    namespace = kubernetes_namespace_v1.log.metadata[0].name
    labels    = local.managed
  }
  data_wo          = { dsn = var.register_dsn }
  data_wo_revision = var.dsn_version
}

# Certificates of the authorities that the databases are verified by. They are public.
resource "kubernetes_secret_v1" "authorities" {
  count = var.database_authorities == null ? 0 : 1
  metadata {
    name      = "${var.name}-authorities"
    namespace = kubernetes_namespace_v1.log.metadata[0].name
    labels    = local.managed
  }
  data = { "ca.crt" = var.database_authorities }
}

# An identity in the cloud, for the key of Rekor v1's API. It has no rights in the cluster.
resource "kubernetes_service_account_v1" "log" {
  count                           = var.service_account == null ? 0 : 1
  automount_service_account_token = false
  metadata {
    name        = var.name
    namespace   = kubernetes_namespace_v1.log.metadata[0].name
    labels      = local.managed
    annotations = var.service_account.annotations
  }
}

resource "helm_release" "log" {
  name       = var.name
  namespace  = kubernetes_namespace_v1.log.metadata[0].name
  chart      = coalesce(var.chart.name, "${path.module}/../../../charts/indelible")
  repository = var.chart.repository
  version    = var.chart.version
  wait       = true
  timeout    = 900
  lint       = true
  values = concat([yamlencode({
    image          = { registry = var.image.registry, tag = var.image.tag }
    serviceAccount = { name = var.service_account == null ? "" : kubernetes_service_account_v1.log[0].metadata[0].name }
    server = {
      origin   = var.host
      storage  = "mysql"
      replicas = var.replicas
      mysql = {
        existingSecret = kubernetes_secret_v1.database.metadata[0].name
        tls            = { existingSecret = var.database_authorities == null ? "" : kubernetes_secret_v1.authorities[0].metadata[0].name }
      }
      podLabels = var.service_account == null ? {} : var.service_account.pod_labels
      env       = var.environment
      keys      = { existingSecret = kubernetes_secret_v1.keys.metadata[0].name, rekorV1KMS = var.rekor_v1_kms }
      register  = { type = "mysql", mysql = { existingSecret = kubernetes_secret_v1.register.metadata[0].name } }
      settings  = { "public-url" = local.url, "rekor-v1-host" = var.host }
      httpRoute = {
        enabled    = length(var.gateways) > 0
        parentRefs = var.gateways
        hostnames  = [var.host]
        readOnly   = var.read_only
      }
      networkPolicy = { enabled = true, from = var.from, metricsFrom = var.metrics_from, egress = [] }
    }
    metrics = {
      serviceMonitor = { enabled = var.prometheus_operator }
      prometheusRule = { enabled = var.prometheus_operator }
    }
  })], var.values)
}

module "trust" {
  source       = "../trust"
  vkey         = var.vkey
  url          = local.url
  rekor_v1_key = var.rekor_v1_public_key
  initialized  = var.reachable
  depends_on   = [helm_release.log]
}
